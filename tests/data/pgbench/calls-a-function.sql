\set low random(1, 10)
SELECT pick(:low, 100), nextval('orders_seq');
