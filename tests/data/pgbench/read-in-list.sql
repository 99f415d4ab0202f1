\set a random(1, 1000)
\set b random(1, 1000)
\set c random(1, 1000)
SELECT k, v FROM kv WHERE k IN (:a, :b, :c) ORDER BY k;
