SELECT kind, count(*) AS events, min(at)::date AS since FROM events GROUP BY kind ORDER BY 2 DESC;
