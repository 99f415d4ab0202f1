\set place random_zipfian(0, 999, 1.2)
\set id 1 + permute(:place, 1000, :default_seed)
SELECT v FROM kv WHERE k = :id;
