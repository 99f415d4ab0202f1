\set k random_zipfian(1, 100, 1.5)
UPDATE kv SET n = n + 1 WHERE k = :k;
