-- What a Supabase project has before its owner writes any SQL, on plain PostgreSQL: roles, schema auth, grants, timeouts.
--
-- The server's superuser applies it. {{owner}} is the role that owns the application's tables; on the platform that is postgres, and it
-- reads and writes past row-level security.
--
-- Safe to apply to several databases of one server at the same time: roles belong to the whole server, so they are created only
-- if missing, and losing a race for one is no error. Everything else is of this database.

do $roles$
declare
  -- role, attributes
  wanted constant text[] := array[
    ['anon',          'nologin noinherit'],
    ['authenticated', 'nologin noinherit'],
    ['service_role',  'nologin noinherit bypassrls'],
    ['authenticator', 'login noinherit']
  ];
  entry text[];
begin
  -- Nothing to do, as on every database but a server's first: take no lock, need no right.
  if (select count(*) = 3 from pg_auth_members as m
       where m.member = to_regrole('authenticator')
         and m.roleid in (to_regrole('anon'), to_regrole('authenticated'), to_regrole('service_role')))
     and (select rolbypassrls from pg_roles where rolname = '{{owner}}') then
    return;
  end if;

  -- One writer at a time. An advisory lock would be of one database only; this catalogue is shared by all of them.
  lock table pg_catalog.pg_auth_members in share row exclusive mode;

  foreach entry slice 1 in array wanted loop
    begin
      execute format('create role %I %s', entry[1], entry[2]);
    exception
      when duplicate_object or unique_violation then null;
    end;
  end loop;

  alter role {{owner}} bypassrls;

  -- PostgREST logs in as authenticator and becomes one of the three.
  grant anon, authenticated, service_role to authenticator;

  -- The platform's time limits. They act at login; PostgREST reads those of the role that it becomes and sets them for the transaction.
  -- The platform's limit for everybody else, two minutes, is left out: loading and indexing run under it (X-62).
  alter role anon          set statement_timeout = '3s';
  alter role authenticated set statement_timeout = '8s';
  alter role authenticator set statement_timeout = '8s';
end
$roles$;

-- Extensions live in a schema of their own, which PostgREST adds to the search path of each request.
create schema if not exists extensions;
grant usage on schema extensions to {{owner}}, anon, authenticated, service_role;
create extension if not exists vector with schema extensions;
create extension if not exists pg_stat_statements with schema extensions;

create schema if not exists auth;
grant usage on schema auth to {{owner}}, anon, authenticated, service_role;

-- The accounts. Nobody but the platform reads them.
create table if not exists auth.users (
  id    uuid not null primary key,
  email text
);
grant all on auth.users to {{owner}};

-- Who is asking. PostgREST puts the token's claims in request.jwt.claims; old versions set one setting per claim, which still wins.
-- nullif: once a transaction that had the setting is over it is '', not NULL.
-- LANGUAGE sql, STABLE and no SET clause, so that the planner can put the body in the place of the call, as on the platform.
create or replace function auth.uid() returns uuid
  language sql stable
as $$
  select coalesce(
    nullif(current_setting('request.jwt.claim.sub', true), ''),
    nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub'
  )::uuid
$$;

create or replace function auth.role() returns text
  language sql stable
as $$
  select coalesce(
    nullif(current_setting('request.jwt.claim.role', true), ''),
    nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'role'
  )
$$;

create or replace function auth.email() returns text
  language sql stable
as $$
  select coalesce(
    nullif(current_setting('request.jwt.claim.email', true), ''),
    nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'email'
  )
$$;

create or replace function auth.jwt() returns jsonb
  language sql stable
as $$
  select coalesce(
    nullif(current_setting('request.jwt.claim', true), ''),
    nullif(current_setting('request.jwt.claims', true), '')
  )::jsonb
$$;

-- The platform lets the API roles at everything that the owner makes in public; row-level security is what keeps tenants apart.
grant usage on schema public to anon, authenticated, service_role;
alter default privileges for role {{owner}} in schema public grant all on tables    to anon, authenticated, service_role;
alter default privileges for role {{owner}} in schema public grant all on sequences to anon, authenticated, service_role;
alter default privileges for role {{owner}} in schema public grant all on functions to anon, authenticated, service_role;
