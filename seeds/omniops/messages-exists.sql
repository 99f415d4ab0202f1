-- On top of after.sql: only the policy by which messages are read, in the old correlated shape, so that this shape can be compared with
-- the new one and with nothing else.
alter policy messages_select_organization on messages
  using (exists (
    select from conversations as c
     where c.id = messages.conversation_id
       and c.organization_id in (select get_user_organization_ids((select auth.uid())))
  ));
