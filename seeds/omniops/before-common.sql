-- Row-level security of the tables around conversations and messages, alike in both states before the migration: auth.uid() is bare
-- everywhere. Can be applied again (a rollback ends with it).
-- organizations and domains have none: a domain is looked up before anyone knows the tenant.

alter table organization_members enable row level security;
alter table customers            enable row level security;
alter table customer_configs     enable row level security;
alter table widget_configs       enable row level security;
alter table chat_telemetry       enable row level security;
alter table scraped_pages        enable row level security;
alter table page_embeddings      enable row level security;
alter table query_cache          enable row level security;
alter table error_logs           enable row level security;
alter table scrape_jobs          enable row level security;

-- One's own memberships, not those of one's organizations: a policy that reads its own table recurses without end (X-19).
drop policy if exists organization_members_select on organization_members;
create policy organization_members_select on organization_members for select
  using (user_id = auth.uid());

drop policy if exists customers_select on customers;
create policy customers_select on customers for select
  using (auth_user_id = auth.uid());

-- Configurations are read by the chat service alone.
drop policy if exists customer_configs_service on customer_configs;
create policy customer_configs_service on customer_configs for all to service_role
  using (true) with check (true);
drop policy if exists widget_configs_service on widget_configs;
create policy widget_configs_service on widget_configs for all to service_role
  using (true) with check (true);

-- Implied: telemetry is seen by whoever sees the conversation. The policy of conversations does the work, so this one does not change.
drop policy if exists chat_telemetry_select on chat_telemetry;
create policy chat_telemetry_select on chat_telemetry for select
  using (conversation_id in (select c.id from conversations as c));

drop policy if exists scraped_pages_select on scraped_pages;
create policy scraped_pages_select on scraped_pages for select
  using (domain_id in (
    select d.id from domains as d
     where d.organization_id in (select m.organization_id from organization_members as m where m.user_id = auth.uid())
  ));

drop policy if exists page_embeddings_select on page_embeddings;
create policy page_embeddings_select on page_embeddings for select
  using (domain_id in (
    select d.id from domains as d
     where d.organization_id in (select m.organization_id from organization_members as m where m.user_id = auth.uid())
  ));

-- "Multiple policies": the service's is redundant, as service_role is not subject to policies.
drop policy if exists query_cache_service on query_cache;
create policy query_cache_service on query_cache for all to service_role
  using (true) with check (true);
drop policy if exists query_cache_select on query_cache;
create policy query_cache_select on query_cache for select
  using (organization_id in (select m.organization_id from organization_members as m where m.user_id = auth.uid()));

drop policy if exists error_logs_select on error_logs;
create policy error_logs_select on error_logs for select
  using (organization_id in (select m.organization_id from organization_members as m where m.user_id = auth.uid()));
drop policy if exists error_logs_insert on error_logs;
create policy error_logs_insert on error_logs for insert
  with check (organization_id in (select m.organization_id from organization_members as m where m.user_id = auth.uid()));

-- Six, one an action; two of them for the service, which needs none.
drop policy if exists scrape_jobs_select on scrape_jobs;
create policy scrape_jobs_select on scrape_jobs for select
  using (domain_id in (
    select d.id from domains as d
     where d.organization_id in (select m.organization_id from organization_members as m where m.user_id = auth.uid())
  ));
drop policy if exists scrape_jobs_insert on scrape_jobs;
create policy scrape_jobs_insert on scrape_jobs for insert
  with check (domain_id in (
    select d.id from domains as d
     where d.organization_id in (select m.organization_id from organization_members as m where m.user_id = auth.uid())
  ));
drop policy if exists scrape_jobs_update on scrape_jobs;
create policy scrape_jobs_update on scrape_jobs for update
  using (domain_id in (
    select d.id from domains as d
     where d.organization_id in (select m.organization_id from organization_members as m where m.user_id = auth.uid())
  ));
drop policy if exists scrape_jobs_delete on scrape_jobs;
create policy scrape_jobs_delete on scrape_jobs for delete
  using (domain_id in (
    select d.id from domains as d
     where d.organization_id in (select m.organization_id from organization_members as m where m.user_id = auth.uid())
  ));
drop policy if exists scrape_jobs_service_read on scrape_jobs;
create policy scrape_jobs_service_read on scrape_jobs for select to service_role
  using (true);
drop policy if exists scrape_jobs_service_write on scrape_jobs;
create policy scrape_jobs_service_write on scrape_jobs for insert to service_role
  with check (true);
