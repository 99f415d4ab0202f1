create index notes_workspace_newest on notes (workspace_id, created_at desc, id);

-- Runs as its owner, whom no policy of memberships holds up. A function of this kind needs a fixed search_path.
create function my_workspaces() returns setof uuid
  language sql stable security definer set search_path = ''
as $$
  select m.workspace_id from public.memberships as m where m.user_id = auth.uid()
$$;

-- array(select ...) does not depend on the note, so it is computed once a query.
drop policy notes_read on notes;
create policy notes_read on notes for select to authenticated
  using (workspace_id = any (array(select my_workspaces())));
drop policy notes_add on notes;
create policy notes_add on notes for insert to authenticated
  with check (workspace_id = any (array(select my_workspaces())));
