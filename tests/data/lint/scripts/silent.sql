\set a 1
