-- random branches
\set die random(1, 100)
\set k random(1, 1000)
\if :die <= 80
SELECT v FROM kv WHERE k = :k;
\else
UPDATE kv SET n = n + 1 WHERE k = :k;
\endif
