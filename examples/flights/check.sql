WITH computed AS (
    UNPIVOT (SELECT period, COLUMNS(* EXCLUDE period)::DECIMAL(12, 1) FROM summary)
    ON * EXCLUDE period
    INTO NAME measure VALUE computed
)
SELECT period, measure, published, computed, computed IS NOT DISTINCT FROM published AS equal
FROM published
LEFT JOIN computed USING (period, measure)
