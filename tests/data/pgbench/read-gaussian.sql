\set id random_gaussian(1, 1000, 2.5)
SELECT v FROM kv WHERE k = :id;
