-- Before, by customer: a conversation belongs to the one account of the customers row that it points to, so in an organization only
-- its owner sees any. Reading only. auth.uid() is bare. Can be applied again (a rollback ends with it).

alter table conversations enable row level security;
alter table messages      enable row level security;

drop policy if exists conversations_select on conversations;
create policy conversations_select on conversations for select
  using (customer_id in (select u.id from customers as u where u.auth_user_id = auth.uid()));

drop policy if exists messages_select on messages;
create policy messages_select on messages for select
  using (exists (
    select from conversations as c
      join customers as u on u.id = c.customer_id
     where c.id = messages.conversation_id
       and u.auth_user_id = auth.uid()
  ));
