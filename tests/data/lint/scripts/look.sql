\set page random(1, 10 * :scale)
BEGIN;
SELECT id, content FROM messages WHERE conversation_id = :conversation AND created_at < :now LIMIT :page \gset found_
\if :page > 5
\sleep 1 ms
UPDATE messages SET content = CURRENT_TIMESTAMP::text WHERE id = :found_id;
\endif
END;
