WITH month AS (
    SELECT artist, sum(plays)::BIGINT AS plays, sum(amount) AS amount
    FROM earnings
    GROUP BY artist
)
SELECT
    month.artist,
    month.plays,
    round(month.amount, 2)::DECIMAL(12, 2) AS royalties,
    round(balance.amount, 2)::DECIMAL(12, 2) AS balance
FROM month
JOIN balance USING (artist)
ORDER BY royalties DESC, artist
