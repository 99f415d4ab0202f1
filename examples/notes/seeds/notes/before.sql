alter table memberships enable row level security;
create policy memberships_own on memberships for select to authenticated
  using (user_id = auth.uid());

-- The inner query is itself under memberships' policy, and is asked anew for every note.
alter table notes enable row level security;
create policy notes_read on notes for select to authenticated
  using (exists (select from memberships as m where m.workspace_id = notes.workspace_id and m.user_id = auth.uid()));
create policy notes_add on notes for insert to authenticated
  with check (exists (select from memberships as m where m.workspace_id = notes.workspace_id and m.user_id = auth.uid()));
