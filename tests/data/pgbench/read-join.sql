\set who random(1, 100)
SELECT f.whom, k.v
  FROM follows f
  JOIN kv k ON k.k = f.whom
 WHERE f.who = :who;
