-- What pgduel expects of a database whose API signs people in as PostgREST does: three roles to become, and the claims of the token in
-- the setting request.jwt.claims. A suite whose scenarios all run as the login role (identity = "none") needs nothing of this.

-- Roles belong to the whole server, so they may be there already, or be made by another run at this moment.
do $roles$
declare
  entry text[];
begin
  foreach entry slice 1 in array array[['anon', ''], ['authenticated', ''], ['service_role', 'bypassrls']] loop
    if to_regrole(entry[1]) is null then
      begin
        execute format('create role %I nologin noinherit %s', entry[1], entry[2]);
      exception
        when duplicate_object or unique_violation then null;
      end;
    end if;
  end loop;
end
$roles$;

create schema auth;
grant usage on schema auth to anon, authenticated, service_role;

-- Who is asking; NULL if nobody is signed in.
create function auth.uid() returns uuid
  language sql stable
as $$
  select (nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub')::uuid
$$;

-- The API roles may use every table that base.sql makes; row-level security keeps the workspaces apart.
grant usage on schema public to anon, authenticated, service_role;
alter default privileges in schema public grant all on tables to anon, authenticated, service_role;
