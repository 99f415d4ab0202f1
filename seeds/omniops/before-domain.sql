-- Before, by domain: a conversation belongs to whoever is a member of the organization that has its domain. Reading only; writes go
-- around row-level security. auth.uid() is bare. Can be applied again (a rollback ends with it).

alter table conversations enable row level security;
alter table messages      enable row level security;

drop policy if exists conversations_select on conversations;
create policy conversations_select on conversations for select
  using (domain_id in (
    select d.id from domains as d
     where d.organization_id in (select m.organization_id from organization_members as m where m.user_id = auth.uid())
  ));

-- Not given for this state: the correlated form of the other one, with the domain in the customer's place.
drop policy if exists messages_select on messages;
create policy messages_select on messages for select
  using (exists (
    select from conversations as c
      join domains as d on d.id = c.domain_id
     where c.id = messages.conversation_id
       and d.organization_id in (select m.organization_id from organization_members as m where m.user_id = auth.uid())
  ));
