SELECT
    coalesce(month, '2013') AS period,
    sum(flights)::BIGINT AS flights,
    sum(cancelled)::BIGINT AS cancelled,
    count(DISTINCT dest) AS destinations,
    round(sum(delay) / sum(flights - cancelled), 1)::DECIMAL(4, 1) AS mean_delay
FROM routes
GROUP BY GROUPING SETS ((month), ())
