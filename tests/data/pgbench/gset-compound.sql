-- only simple: two statements at once, which the extended protocol has not
SELECT 17 AS low \; SELECT 42 AS high \gset
SELECT count(*) FROM kv WHERE k BETWEEN 1 AND :high;
