SELECT artist, count(*) AS plays, sum(per_play)::DECIMAL(18, 6) AS amount
FROM classified
JOIN tracks USING (track_id)
LEFT JOIN contracts USING (artist)
WHERE seconds >= 30 AND NOT is_spam
GROUP BY artist
