WITH played AS (
    SELECT country, track_id, count(*) AS plays
    FROM week
    WHERE country IS NOT NULL AND NOT is_spam
    GROUP BY country, track_id
)
SELECT
    country,
    row_number() OVER (PARTITION BY country ORDER BY plays DESC, track_id) AS rank,
    title,
    artist,
    plays
FROM played
JOIN tracks USING (track_id)
QUALIFY rank <= 10
ORDER BY country, rank
