SELECT count(*) > 0 AS some FROM jobs \gset
\if :some
SELECT id FROM jobs ORDER BY id LIMIT 1;
\else
SELECT NULL;
\endif
