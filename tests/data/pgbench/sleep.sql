\sleep 2 ms
SELECT 1;
\sleep 500 us
