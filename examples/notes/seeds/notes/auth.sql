-- What pgduel expects of a database whose API signs people in as PostgREST does: three roles to become, and the claims of the token in
-- the setting request.jwt.claims. A suite whose scenarios all have identity = "none" needs nothing of this.
--
-- A platform file: the superuser applies it, and {{owner}} is the role that applies and owns all other SQL of the suite.

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
grant usage on schema auth to {{owner}}, anon, authenticated, service_role;

-- Who is asking; NULL if nobody is signed in.
create function auth.uid() returns uuid
  language sql stable
as $$
  select (nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub')::uuid
$$;
