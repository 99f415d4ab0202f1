\set k random(1, 1200)
INSERT INTO kv (k, v) VALUES (:k, 'new') ON CONFLICT (k) DO UPDATE SET n = kv.n + 1;
