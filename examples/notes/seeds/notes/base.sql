-- The API roles may use every table that is made from here on; row-level security keeps the workspaces apart.
grant usage on schema public to anon, authenticated, service_role;
alter default privileges in schema public grant all on tables to anon, authenticated, service_role;

create table workspaces (
  id   uuid not null,
  name text not null
);

create table users (
  id    uuid not null,
  email text not null
);
revoke all on users from anon, authenticated;

create table memberships (
  id           uuid not null,
  workspace_id uuid not null,
  user_id      uuid not null,
  role         text not null
);

create table notes (
  id           uuid not null,
  workspace_id uuid not null,
  author_id    uuid not null,
  title        text not null,
  body         text not null,
  created_at   timestamptz not null
);
