-- On top of after.sql: conversations by the caller's domains, with the identity bare, as the sister proposal has it.
alter policy conversations_select_organization on conversations
  using (domain_id in (select get_user_domain_ids(auth.uid())));
