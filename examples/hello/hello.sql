SELECT
    name,
    CASE language WHEN 'de' THEN 'Hallo' WHEN 'sv' THEN 'Hej' ELSE 'Hello' END || ', ' || name || '!' AS greeting
FROM people
