-- random branches
\set die random(1, 10)
\if :die = 1
    INSERT INTO events (tenant, kind) VALUES (1, 'one');
\elif :die < 4
    SELECT count(*) FROM events WHERE tenant = :die;
\elif :die >= 4 and :die <= 6
    SELECT 1;
\else
    \if :die % 2 = 0
        SELECT 2;
    \else
        SELECT 3;
    \endif
\endif
