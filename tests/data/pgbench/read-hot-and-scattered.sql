-- Hot keys that do not lie side by side.
\set place random_zipfian(1, 1000, 1.2)
\set id 1 + abs(hash(:place)) % 1000
SELECT v FROM kv WHERE k = :id;
