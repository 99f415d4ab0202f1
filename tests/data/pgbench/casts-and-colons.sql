-- only simple: elsewhere pgbench takes what stands behind a colon for a variable, even in a string
\set k 5
SELECT :k::bigint AS cast_twice, '12:30'::time AS noon, '{"a":1}'::jsonb -> 'a' AS a, (ARRAY[1,2,3])[1:2] AS slice;
