\if :client_id = 0
SELECT 'the first client' AS who;
\else
SELECT 'another client' AS who;
\endif
