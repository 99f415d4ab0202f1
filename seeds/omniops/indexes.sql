-- Keys, and every index that is said to exist before the migration. All variants share them.
-- Not reproduced, for want of a definition: the other 20 of 24 indexes of scraped_pages, two materialized views, the timestamp
-- triggers of five tables, backfill_organization_ids().

alter table organizations        add primary key (id);
alter table organization_members add primary key (id);
alter table customers            add primary key (id);
alter table customer_configs     add primary key (id);
alter table widget_configs       add primary key (id);
alter table domains              add primary key (id);
alter table conversations        add primary key (id);
alter table messages             add primary key (id);
alter table chat_telemetry       add primary key (id);
alter table scraped_pages        add primary key (id);
alter table page_embeddings      add primary key (id);
alter table query_cache          add primary key (id);
alter table error_logs           add primary key (id);
alter table scrape_jobs          add primary key (id);

-- A user is a member of an organization once: the natural key. Whether there is an index that leads with user_id is not stated, and it
-- decides how often a policy evaluates auth.uid() (X-43): none is assumed, as nobody would have missed the key but might have missed that.
alter table organization_members add unique (organization_id, user_id);

alter table messages             add check (role in ('user', 'assistant', 'system'));

alter table organization_members add foreign key (organization_id)    references organizations    on delete cascade;
alter table organization_members add foreign key (user_id)            references auth.users       on delete cascade;
alter table customers            add foreign key (auth_user_id)       references auth.users       on delete cascade;
alter table customer_configs     add foreign key (organization_id)    references organizations    on delete cascade;
alter table widget_configs       add foreign key (customer_config_id) references customer_configs on delete cascade;
alter table domains              add foreign key (organization_id)    references organizations    on delete cascade;
alter table domains              add foreign key (customer_config_id) references customer_configs on delete cascade;
alter table conversations        add foreign key (customer_id)        references customers        on delete cascade;
alter table conversations        add foreign key (organization_id)    references organizations    on delete cascade;
alter table conversations        add foreign key (domain_id)          references domains          on delete cascade;
alter table messages             add foreign key (conversation_id)    references conversations    on delete cascade;
alter table chat_telemetry       add foreign key (conversation_id)    references conversations    on delete cascade;
alter table scraped_pages        add foreign key (domain_id)          references domains          on delete cascade;
alter table page_embeddings      add foreign key (page_id)            references scraped_pages    on delete cascade;
alter table page_embeddings      add foreign key (domain_id)          references domains          on delete cascade;
alter table query_cache          add foreign key (organization_id)    references organizations    on delete cascade;
alter table error_logs           add foreign key (organization_id)    references organizations    on delete cascade;
alter table scrape_jobs          add foreign key (domain_id)          references domains          on delete cascade;

create index idx_domains_domain on domains (domain);

create index idx_conversations_domain_id      on conversations (domain_id);
create index idx_conversations_created_at     on conversations (created_at);
create index idx_conversations_domain_started on conversations (domain_id, started_at);
create index idx_conversations_metadata       on conversations using gin (metadata);

create index idx_messages_conversation_id        on messages (conversation_id);
create index idx_messages_created_at             on messages (created_at);
create index idx_messages_created_at_role        on messages (created_at, role);
create index idx_messages_metadata_sentiment     on messages ((metadata ->> 'sentiment'));
create index idx_messages_metadata_response_time on messages ((metadata ->> 'response_time_ms'));

-- Only "single-column indexes" is said of this table; these are the columns that its queries filter by.
create index idx_chat_telemetry_domain          on chat_telemetry (domain);
create index idx_chat_telemetry_model           on chat_telemetry (model);
create index idx_chat_telemetry_created_at      on chat_telemetry (created_at);
create index idx_chat_telemetry_conversation_id on chat_telemetry (conversation_id);

create index idx_scraped_pages_domain_url on scraped_pages (domain_id, url);
-- Three that overlap, as they are said to.
create index idx_scraped_pages_fulltext on scraped_pages
  using gin (to_tsvector('english', coalesce(title, '') || ' ' || coalesce(content, '')));
create index idx_scraped_pages_content_gin on scraped_pages
  using gin (to_tsvector('english', coalesce(content, '')));
create index idx_scraped_pages_content_search on scraped_pages
  using gin (to_tsvector('simple', coalesce(content, '')));
-- No statement here searches text. ANALYZE would parse every page once more for each of the three, which takes most of its time.
alter index idx_scraped_pages_fulltext       alter column 1 set statistics 0;
alter index idx_scraped_pages_content_gin    alter column 1 set statistics 0;
alter index idx_scraped_pages_content_search alter column 1 set statistics 0;

create index idx_query_cache_hash on query_cache (organization_id, query_hash, expires_at);

-- Parameters are not stated: pgvector's defaults, m 16 and ef_construction 64 (X-74).
-- Vectors lie outside of the table, which is too small without them for PostgreSQL to think of workers.
alter table page_embeddings set (parallel_workers = 2);
create index page_embeddings_embedding_hnsw_idx on page_embeddings using hnsw (embedding extensions.vector_cosine_ops);
alter table page_embeddings reset (parallel_workers);
