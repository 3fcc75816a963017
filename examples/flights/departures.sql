-- The files are written by R: a cancelled flight has the delay NA, and a time of day is a number, 1745.
SELECT
    $day + to_minutes(sched_dep_time // 100 * 60 + sched_dep_time % 100) AS scheduled,
    nullif(dep_delay, 'NA')::SMALLINT AS delay,
    carrier,
    flight,
    origin,
    dest
FROM on_time
WHERE date = $day
