drop table t;
comment on database postgres is 'mine';
