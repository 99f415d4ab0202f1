\set k random(2000, 2100)
BEGIN;
DELETE FROM kv WHERE k = :k;
INSERT INTO kv (k, v) VALUES (:k, 'again') ON CONFLICT DO NOTHING;
END;
