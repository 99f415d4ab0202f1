\set think random(1, 3)
BEGIN;
SELECT 1;
\sleep :think ms
COMMIT;
