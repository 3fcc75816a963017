-- Comments and line breaks are no part of a key: change one, and nothing runs.
SELECT $day AS day, product, sum(pieces * price) AS revenue
FROM sales
GROUP BY product
