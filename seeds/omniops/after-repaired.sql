-- On top of after.sql: what runs there without doing what it promises, in a form that does.

-- The queries that exist say nothing of deleted_at or ended_at, so neither do the indexes (X-40, X-41); each definition once (X-76).
-- PostgreSQL walks an index in both directions, so DESC is not needed.
drop index idx_messages_conversation_created;
drop index idx_conversations_organization_active;
drop index idx_messages_organization_date;
drop index idx_messages_organization_created;
drop index idx_messages_conversation_role;
drop index idx_conversations_domain_org;
drop index idx_conversations_domain_organization;
drop index idx_messages_role_created;

create index idx_messages_conversation_created      on messages (conversation_id, created_at);
create index idx_messages_organization_created      on messages (organization_id, created_at);
create index idx_conversations_organization_created on conversations (organization_id, created_at);
create index idx_conversations_organization_started on conversations (organization_id, started_at);

-- The range after the equality, the sum's column carried along (X-71).
drop index idx_chat_telemetry_domain_cost_created;
create index idx_chat_telemetry_domain_created on chat_telemetry (domain, created_at) include (cost_usd);

-- A real column in the place of an expression whose operator is not leakproof: text equality is, so a tenant's query may use the
-- index (X-15, X-47). Sentiment the same way.
drop index idx_conversations_metadata_status;
alter table conversations add column status text generated always as (metadata ->> 'status') stored;
create index idx_conversations_organization_status on conversations (organization_id, status, created_at);

drop index idx_messages_domain_sentiment;
alter table messages add column sentiment text generated always as (metadata ->> 'sentiment') stored;
create index idx_messages_domain_sentiment on messages (domain_id, sentiment) where sentiment is not null;

-- The caller's organizations as an array, found once a statement: a comparison with it can drive an index, and a message is judged by
-- its own column, not by the set of all visible conversations (X-45).
alter policy conversations_select_organization on conversations
  using (organization_id = any (array(
    select m.organization_id from organization_members as m where m.user_id = (select auth.uid())
  )));
alter policy conversations_update_organization on conversations
  using      (organization_id = any (array(
    select m.organization_id from organization_members as m where m.user_id = (select auth.uid())
  )))
  with check (organization_id = any (array(
    select m.organization_id from organization_members as m where m.user_id = (select auth.uid())
  )));
alter policy messages_select_organization on messages
  using (organization_id = any (array(
    select m.organization_id from organization_members as m where m.user_id = (select auth.uid())
  )));
alter policy messages_insert_organization on messages
  with check (organization_id = any (array(
    select m.organization_id from organization_members as m where m.user_id = (select auth.uid())
  )));
-- Who wrote a message is not recorded, so nobody changes or deletes one (X-59).
drop policy messages_update_own on messages;
drop policy messages_delete_own on messages;

-- AND in the place of OR (X-48); ranges, and an object or nothing (X-49).
alter table conversations drop constraint valid_conversation_metadata;
alter table conversations add constraint valid_conversation_metadata check (
  metadata is null
  or (jsonb_typeof(metadata) = 'object'
      and (metadata ->> 'status' is null or metadata ->> 'status' in ('active', 'archived', 'waiting')))
);
alter table messages drop constraint valid_message_metadata;
alter table messages add constraint valid_message_metadata check (
  metadata is null
  or (jsonb_typeof(metadata) = 'object'
      and (metadata ->> 'sentiment' is null or metadata ->> 'sentiment' in ('positive', 'neutral', 'negative'))
      and case jsonb_typeof(metadata -> 'response_time_ms')
            when 'number' then (metadata ->> 'response_time_ms')::numeric >= 0
            else coalesce(jsonb_typeof(metadata -> 'response_time_ms'), 'null') = 'null' end
      and case jsonb_typeof(metadata -> 'tokens_used')
            when 'number' then (metadata ->> 'tokens_used')::numeric >= 0
            else coalesce(jsonb_typeof(metadata -> 'tokens_used'), 'null') = 'null' end)
);

-- A NULL patch changes nothing, and other keys of the session's metadata survive (X-51).
create or replace function update_conversation_metadata(conversation_id uuid, patch jsonb) returns jsonb
  language plpgsql
  set search_path = ''
as $$
declare
  merged jsonb;
begin
  update public.conversations as c
     set metadata   = coalesce(c.metadata, '{}') || jsonb_build_object(
                        'session_metadata',
                        coalesce(c.metadata -> 'session_metadata', '{}') || coalesce(patch, '{}')),
         updated_at = now()
   where c.id = update_conversation_metadata.conversation_id
  returning c.metadata into merged;
  return merged;
end
$$;
