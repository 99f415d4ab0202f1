\set id random_zipfian(1, 1000, 1.07)
SELECT v FROM kv WHERE k = :id;
