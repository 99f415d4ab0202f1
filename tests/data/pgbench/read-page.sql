\set tenant random(0, 19)
\set page random(0, 4)
\set skipped :page * 20
SELECT id, kind, at FROM events WHERE tenant = :tenant ORDER BY at DESC, id LIMIT 20 OFFSET :skipped;
