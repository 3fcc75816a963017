-- A play that is sent twice is the same in all columns, so DISTINCT keeps one of them.
SELECT DISTINCT
    event_id,
    user_id,
    track_id,
    CASE
        WHEN upper(country) = 'UK' THEN 'GB'
        WHEN regexp_full_match(country, '[A-Za-z]{2}') THEN upper(country)
    END AS country,
    played_at,
    seconds
FROM (FROM raw UNION ALL BY NAME FROM offline)
WHERE played_at::DATE = $day
