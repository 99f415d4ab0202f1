-- On top of after.sql: the caller's domains as an array. Written with ARRAY_AGG inside ANY, which compares uuid with uuid[] and is
-- rejected (X-03); this is the form that works.
alter policy conversations_select_organization on conversations
  using (domain_id = any (array(select get_user_domain_ids((select auth.uid())))));
