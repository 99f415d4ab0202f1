\set t random(0, 19)
INSERT INTO events (tenant, kind) VALUES
    (:t, 'a'),
    (:t, 'b'),
    (:t, 'c');
