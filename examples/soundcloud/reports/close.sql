WITH due AS (
    SELECT month AS for_month, artist, royalties AS amount
    FROM royalties
),
paid AS (
    SELECT for_month, artist, sum(amount) AS amount
    FROM booked
    GROUP BY for_month, artist
)
SELECT
    for_month,
    artist,
    (coalesce(due.amount, 0) - coalesce(paid.amount, 0))::DECIMAL(12, 2) AS amount
FROM due
FULL JOIN paid USING (for_month, artist)
WHERE coalesce(due.amount, 0) <> coalesce(paid.amount, 0)
