\set tenant random(0, 19)
\set ms random(1, 5000)
INSERT INTO events (tenant, kind, payload) VALUES (:tenant, 'timed', jsonb_build_object('ms', :ms::int, 'ok', true));
