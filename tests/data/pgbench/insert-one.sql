\set tenant random(0, 19)
INSERT INTO events (tenant, kind) VALUES (:tenant, 'inserted');
