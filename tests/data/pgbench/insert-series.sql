\set tenant random(0, 19)
INSERT INTO events (tenant, kind) SELECT :tenant, 'many' FROM generate_series(1, 50);
