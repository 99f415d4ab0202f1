\set id random_exponential(1, 1000, 4.0)
SELECT v FROM kv WHERE k = :id;
