\set page random(1, 10 * :scael)
BEGIN;
SELECT content, now() FROM messages WHERE id = :pgae;
SELECT max(id) AS last FROM messages \gset
\if :last > 5
UPDATE messages SET content = :content, seen = now() WHERE id = :last RETURNING seen;
\endif
END;
