alter table t add column x int;
alter role authenticated
  set statement_timeout = '1s';
alter /* with a word between */ system set fsync = off;
