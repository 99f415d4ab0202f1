\set page random(1, 10 * :scale)
BEGIN;
SELECT id, content FROM messages WHERE conversation_id = :conversation AND created_at < :now LIMIT :page \gset found_
\if :quick and :page > 10 * :ratio
\sleep 1 ms
UPDATE messages SET content = CURRENT_TIMESTAMP::text || :word WHERE id = :found_id;
\endif
END;
