-- auth.uid() as a PL/pgSQL function with the same result, for evidence only.
--
-- The SQL version is put in the place of its call, so pg_stat_user_functions never sees it. With this twin and
-- track_functions = 'pl' or 'all' every evaluation counts. It is slower: count with it, never time with it. A bare auth.uid() is
-- also evaluated once while a statement is planned. Its cost is that of the eight functions in the SQL version's expression, so that plans
-- stay what they are without it.
create or replace function auth.uid() returns uuid
  language plpgsql stable cost 8
as $$
begin
  return coalesce(
    nullif(current_setting('request.jwt.claim.sub', true), ''),
    nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub'
  )::uuid;
end
$$;
