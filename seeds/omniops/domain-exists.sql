-- On top of after.sql: the caller's domains through EXISTS. (Through a JOIN it cannot be: a policy is one condition, X-04.)
alter policy conversations_select_organization on conversations
  using (exists (
    select from get_user_domain_ids((select auth.uid())) as visible (domain_id)
     where visible.domain_id = conversations.domain_id
  ));
