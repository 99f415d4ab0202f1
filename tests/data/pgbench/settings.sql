BEGIN;
SET LOCAL work_mem = '8MB';
SELECT set_config('request.jwt.claims', '{"sub": "1"}', true);
SELECT count(*) FROM events WHERE tenant = 3;
ROLLBACK;
