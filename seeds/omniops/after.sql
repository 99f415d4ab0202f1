-- The migration: organizations in the place of domains or customers, identity looked up once, all four commands, composite indexes.
--
-- What PostgreSQL rejects, and what leaks, is repaired to the working form that was meant; what runs without doing what it promises
-- stays as it was written (after-repaired.sql has the other form). Ids are those of the defect register.

-- Columns ------------------------------------------------------------------------------------------------------------------------

-- Soft delete first: the index predicates below need it, though the plan had it last (X-10).
alter table conversations add column deleted_at timestamptz;
alter table messages      add column deleted_at timestamptz;

-- update_conversation_metadata() sets it (X-09).
alter table conversations add column updated_at timestamptz;

-- The sentiment index and its query need it; no migration added it (X-12).
alter table messages add column domain_id uuid;

-- Backfill. Conversations whose domain or organization is unknown stay NULL; there is none in this data, so the first does nothing.
update conversations as c
   set organization_id = d.organization_id
  from domains as d
 where d.id = c.domain_id and c.organization_id is null;

update messages as m
   set organization_id = c.organization_id,
       domain_id       = c.domain_id
  from conversations as c
 where c.id = m.conversation_id and m.organization_id is null;

-- The application knows neither column of messages, so without this an INSERT would fail from here on (X-11).
create function messages_fill_tenant() returns trigger
  language plpgsql security definer
  set search_path = ''
as $$
begin
  select c.organization_id, c.domain_id
    into new.organization_id, new.domain_id
    from public.conversations as c
   where c.id = new.conversation_id;
  return new;
end
$$;
revoke execute on function messages_fill_tenant() from public, anon, authenticated, service_role;

create trigger messages_fill_tenant before insert on messages
  for each row execute function messages_fill_tenant();

alter table conversations alter column organization_id set not null;
alter table messages      alter column organization_id set not null;

-- Indexes ------------------------------------------------------------------------------------------------------------------------
-- Not CONCURRENTLY, which cannot share a transaction with the rest (X-08).

-- No query of the application says "deleted_at is null", so it can use none of the indexes that do (X-40).
create index if not exists idx_messages_conversation_created on messages (conversation_id, created_at desc)
  where deleted_at is null;

-- Two definitions under one name: the second is skipped, and only open conversations are indexed (X-41).
create index if not exists idx_conversations_organization_active on conversations (organization_id, created_at desc)
  where deleted_at is null and ended_at is null;
create index if not exists idx_conversations_organization_active on conversations (organization_id, created_at desc)
  where deleted_at is null;

-- One definition under two names: both are built (X-76).
create index if not exists idx_messages_organization_date on messages (organization_id, created_at desc)
  where deleted_at is null;
create index if not exists idx_messages_organization_created on messages (organization_id, created_at desc)
  where deleted_at is null;

create index if not exists idx_conversations_session_id on conversations (session_id)
  where session_id is not null;

create index if not exists idx_messages_domain_sentiment on messages (domain_id, (metadata ->> 'sentiment'))
  where metadata ->> 'sentiment' is not null;

create index if not exists idx_messages_conversation_role on messages (conversation_id, role)
  where deleted_at is null;

-- One definition under two names again (X-76).
create index if not exists idx_conversations_domain_org on conversations (domain_id, organization_id)
  where deleted_at is null;
create index if not exists idx_conversations_domain_organization on conversations (domain_id, organization_id)
  where deleted_at is null;

create index if not exists idx_messages_role_created on messages (role, created_at desc)
  where deleted_at is null;

-- A filter by status was meant to be fast, on a column that does not exist (X-15): the expression instead. Its operator is not
-- leakproof, so a tenant's query cannot use it (X-47).
create index if not exists idx_conversations_metadata_status on conversations ((metadata ->> 'status'));

create index if not exists idx_conversations_deleted on conversations (deleted_at) where deleted_at is not null;
create index if not exists idx_messages_deleted      on messages (deleted_at)      where deleted_at is not null;

-- One form limits this to the last 90 days of now(), which a predicate cannot say (X-01): all days. cost_usd stands before
-- created_at, so a range of days is filtered, not bounded (X-71).
create index if not exists idx_chat_telemetry_domain_cost_created on chat_telemetry (domain, cost_usd, created_at desc);
create index if not exists idx_chat_telemetry_model_duration on chat_telemetry (model, duration_ms desc, created_at desc);
create index if not exists idx_chat_telemetry_domain_success_created on chat_telemetry (domain, success, created_at desc);

create index if not exists idx_scraped_pages_domain_status_created on scraped_pages (domain_id, status, created_at desc)
  where status <> 'deleted';
create index if not exists idx_page_embeddings_domain_created_batch on page_embeddings (domain_id, created_at desc)
  where embedding is not null;

-- Functions ----------------------------------------------------------------------------------------------------------------------

-- Memberships as the owner of the tables sees them: no policy inside a policy, so no recursion whatever the policy of
-- organization_members reads (X-19). Both would tell a stranger's organizations to whoever passes his id; they answer for the caller only.
create function get_user_organization_ids(member_id uuid) returns setof uuid
  language sql stable security definer
  set search_path = ''
as $$
  select m.organization_id from public.organization_members as m
   where m.user_id = member_id and member_id = (select auth.uid())
$$;

create function get_user_domain_ids(member_id uuid) returns setof uuid
  language sql stable security definer
  set search_path = ''
as $$
  select d.id from public.domains as d
    join public.organization_members as m on m.organization_id = d.organization_id
   where m.user_id = member_id and member_id = (select auth.uid())
$$;

revoke execute on function get_user_organization_ids(uuid), get_user_domain_ids(uuid) from public, anon, service_role;
grant  execute on function get_user_organization_ids(uuid), get_user_domain_ids(uuid) to authenticated;

-- One round trip in the place of SELECT and UPDATE. Written with the owner's rights, for anon too and without asking whose
-- conversation it is, it let anyone change any tenant's row (X-70): here it has the caller's rights. A NULL patch turns all metadata
-- NULL, as written (X-51).
create function update_conversation_metadata(conversation_id uuid, patch jsonb) returns jsonb
  language plpgsql
  set search_path = ''
as $$
declare
  merged jsonb;
begin
  update public.conversations as c
     set metadata   = jsonb_set(coalesce(c.metadata, '{}'), '{session_metadata}', patch),
         updated_at = now()
   where c.id = update_conversation_metadata.conversation_id
  returning c.metadata into merged;
  return merged;
end
$$;
revoke execute on function update_conversation_metadata(uuid, jsonb) from public, anon;
grant  execute on function update_conversation_metadata(uuid, jsonb) to authenticated, service_role;

-- Policies -----------------------------------------------------------------------------------------------------------------------
-- One of the published sets: three under different names would be OR'd (X-67), and so would the old ones, which go by name.
-- Subqueries in the open, as in the set that wraps the identity; variants have the functions in their place.

drop policy conversations_select on conversations;
drop policy messages_select on messages;

create policy conversations_select_organization on conversations for select to authenticated
  using (organization_id in (
    select m.organization_id from organization_members as m where m.user_id = (select auth.uid())
  ));

create policy conversations_insert_organization on conversations for insert to authenticated
  with check (organization_id in (
    select m.organization_id from organization_members as m
     where m.user_id = (select auth.uid()) and m.role in ('owner', 'admin')
  ));

create policy conversations_update_organization on conversations for update to authenticated
  using      (organization_id in (
    select m.organization_id from organization_members as m where m.user_id = (select auth.uid())
  ))
  with check (organization_id in (
    select m.organization_id from organization_members as m where m.user_id = (select auth.uid())
  ));

create policy conversations_delete_organization on conversations for delete to authenticated
  using (organization_id in (
    select m.organization_id from organization_members as m
     where m.user_id = (select auth.uid()) and m.role = 'owner'
  ));

-- Not correlated: each statement builds the set of all conversations that the user sees, even to read one (X-45), and the policy of
-- conversations acts inside it, which makes a second InitPlan (X-46).
create policy messages_select_organization on messages for select to authenticated
  using (conversation_id in (
    select c.id from conversations as c
     where c.organization_id in (
       select m.organization_id from organization_members as m where m.user_id = (select auth.uid())
     )
  ));

create policy messages_insert_organization on messages for insert to authenticated
  with check (conversation_id in (
    select c.id from conversations as c
     where c.organization_id in (
       select m.organization_id from organization_members as m where m.user_id = (select auth.uid())
     )
  ));

-- "user" is who speaks in the chat, not who asks: any member may change and delete what any visitor wrote (X-59).
create policy messages_update_own on messages for update to authenticated
  using (role = 'user' and conversation_id in (
    select c.id from conversations as c
     where c.organization_id in (
       select m.organization_id from organization_members as m where m.user_id = (select auth.uid())
     )
  ))
  with check (role = 'user' and conversation_id in (
    select c.id from conversations as c
     where c.organization_id in (
       select m.organization_id from organization_members as m where m.user_id = (select auth.uid())
     )
  ));

create policy messages_delete_own on messages for delete to authenticated
  using (role = 'user' and conversation_id in (
    select c.id from conversations as c
     where c.organization_id in (
       select m.organization_id from organization_members as m where m.user_id = (select auth.uid())
     )
  ));

drop policy error_logs_insert on error_logs;
create policy error_logs_insert_organization on error_logs for insert to authenticated
  with check (organization_id in (select get_user_organization_ids((select auth.uid()))));

drop policy scrape_jobs_select on scrape_jobs;
drop policy scrape_jobs_insert on scrape_jobs;
drop policy scrape_jobs_update on scrape_jobs;
drop policy scrape_jobs_delete on scrape_jobs;
drop policy scrape_jobs_service_read on scrape_jobs;
drop policy scrape_jobs_service_write on scrape_jobs;
create policy scrape_jobs_service on scrape_jobs for all to service_role
  using (true) with check (true);
create policy scrape_jobs_organization on scrape_jobs for all to authenticated
  using      (domain_id in (select get_user_domain_ids((select auth.uid()))))
  with check (domain_id in (select get_user_domain_ids((select auth.uid()))));

-- Constraints --------------------------------------------------------------------------------------------------------------------

-- Types are asked for, not cast to, so that a bad value is a violation and no cast error (X-30). Negative numbers, and metadata that
-- is no object, pass, as written (X-49).
alter table messages add constraint valid_message_metadata check (
  (metadata ->> 'sentiment' is null or metadata ->> 'sentiment' in ('positive', 'neutral', 'negative'))
  and coalesce(jsonb_typeof(metadata -> 'response_time_ms'), 'null') in ('number', 'null')
  and coalesce(jsonb_typeof(metadata -> 'tokens_used'), 'null') in ('number', 'null')
);

-- OR where AND was meant: whatever it is, it passes (X-48).
alter table conversations add constraint valid_conversation_metadata check (
  metadata ->> 'status' is null
  or metadata ->> 'status' in ('active', 'archived', 'waiting')
  or jsonb_typeof(metadata) = 'object'
);

-- View ---------------------------------------------------------------------------------------------------------------------------

-- With the rights of whoever asks: a plain view would show every tenant to everyone (X-68).
create view organization_activity with (security_invoker = true) as
  select c.organization_id,
         date_trunc('day', c.created_at, 'UTC') as day,
         count(*)                               as conversations,
         count(*) filter (where c.ended_at is null) as still_open
    from conversations as c
   group by c.organization_id, date_trunc('day', c.created_at, 'UTC');
