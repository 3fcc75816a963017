SELECT
    origin,
    dest,
    count(*) AS flights,
    count(*) FILTER (delay IS NULL) AS cancelled,
    sum(delay)::BIGINT AS delay
FROM departures
GROUP BY origin, dest
