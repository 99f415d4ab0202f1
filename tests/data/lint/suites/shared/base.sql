create table t (role text);
grant select on t to app;
create user mapping for app server files;

-- A membership, not a right on a table.
grant app to authenticated;
