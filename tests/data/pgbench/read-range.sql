\set low random(1, 900)
\set high :low + 99
SELECT count(*), sum(n) FROM kv WHERE k BETWEEN :low AND :high;
