\set a 1
\sett b 2
select :a;
\if :a > 0
