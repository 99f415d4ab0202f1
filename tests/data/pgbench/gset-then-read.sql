SELECT who, whom FROM follows ORDER BY who LIMIT 1 \gset f_
SELECT v FROM kv WHERE k = :f_whom;
