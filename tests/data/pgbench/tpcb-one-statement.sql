\set aid random(1, 100000 * :scale)
\set delta random(-5000, 5000)
WITH account AS (
    UPDATE pgbench_accounts SET abalance = abalance + :delta
     WHERE aid = :aid
 RETURNING aid, bid
)
INSERT INTO pgbench_history (tid, bid, aid, delta, mtime)
SELECT 1, bid, aid, :delta, now() FROM account;
