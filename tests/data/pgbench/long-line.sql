\set total 1 + \
  2 + \
  3
SELECT :total,
       -- a comment within; with a semicolon
       'it''s; one string' AS quoted,
       $body$also; one$body$ AS dollar,
       "k" FROM kv WHERE k = 1 /* and; this */;
