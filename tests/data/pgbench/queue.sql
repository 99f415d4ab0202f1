-- A worker takes a job that no other has.
BEGIN;
UPDATE jobs SET state = 'running', tries = tries + 1
 WHERE id = (SELECT id FROM jobs WHERE state = 'ready' ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED);
COMMIT;
