-- Omniops: a customer-service chat for many organizations. Tables only: the data is loaded into bare tables, then indexes.sql adds
-- keys and indexes.
--
-- "implied": the column or its type is not stated anywhere, but a query, an index or code needs it.

create table organizations (
  id         uuid not null default gen_random_uuid(),   -- implied
  name       text not null,                             -- implied
  created_at timestamptz not null default now()         -- implied
);

create table organization_members (
  id              uuid not null default gen_random_uuid(),   -- implied
  organization_id uuid not null,
  user_id         uuid not null,
  role            text not null default 'member',            -- owner, admin, member
  created_at      timestamptz not null default now()         -- implied
);

-- The older model of who owns what: one row an organization, its owner's.
create table customers (
  id           uuid not null default gen_random_uuid(),
  auth_user_id uuid not null,
  name         text,                                     -- implied
  email        text,                                     -- implied
  created_at   timestamptz not null default now()        -- implied
);

create table customer_configs (
  id              uuid not null default gen_random_uuid(),   -- implied
  organization_id uuid,                                      -- implied
  business_name   text,                                      -- implied
  created_at      timestamptz not null default now()         -- implied
);

create table widget_configs (
  id                 uuid not null default gen_random_uuid(),   -- implied
  customer_config_id uuid not null,                             -- implied; the direction of this key is stated both ways
  config_data        jsonb not null default '{}',
  is_active          boolean not null default true,
  created_at         timestamptz not null default now()         -- implied
);

create table domains (
  id                 uuid not null default gen_random_uuid(),
  domain             text not null,                       -- looked up over all tenants; not known to be unique
  organization_id    uuid not null,
  customer_config_id uuid,                                -- implied
  created_at         timestamptz not null default now()   -- implied
);

create table conversations (
  id              uuid not null default gen_random_uuid(),
  customer_id     uuid,                                   -- the older model
  organization_id uuid,                                   -- nullable; the application fills it
  domain_id       uuid,
  session_id      text,
  started_at      timestamptz not null default now(),
  ended_at        timestamptz,
  metadata        jsonb default '{}',                     -- status, session_metadata
  created_at      timestamptz not null default now()
);

create table messages (
  id              uuid not null default gen_random_uuid(),
  conversation_id uuid not null,
  role            text not null,
  content         text not null,
  metadata        jsonb default '{}',                     -- sentiment, response_time_ms, tokens_used
  created_at      timestamptz not null default now(),
  organization_id uuid                                    -- implied: one listing has it, another has not; NULL until after.sql fills it (X-11)
);

create table chat_telemetry (
  id              uuid not null default gen_random_uuid(),   -- implied
  conversation_id uuid,
  domain          text,
  model           text,
  cost_usd        numeric(12, 6),
  duration_ms     integer,
  success         boolean,
  created_at      timestamptz not null default now()
);

create table scraped_pages (
  id         uuid not null default gen_random_uuid(),   -- implied
  domain_id  uuid not null,
  url        text not null,
  title      text,
  content    text,
  status     text not null default 'completed',         -- 'deleted' is the one value that is stated
  created_at timestamptz not null default now()
);

create table page_embeddings (
  id         uuid not null default gen_random_uuid(),   -- implied
  page_id    uuid not null,
  domain_id  uuid,                                      -- nullable: the application's insert leaves it out (X-69)
  chunk_text text not null,
  embedding  extensions.vector(1536),
  metadata   jsonb default '{}',                        -- chunk_index, total_chunks
  created_at timestamptz not null default now()
);

create table query_cache (
  id               uuid not null default gen_random_uuid(),
  organization_id  uuid not null,
  query_hash       text not null,
  query_text       text not null,
  results          jsonb not null,
  hit_count        integer not null default 0,
  expires_at       timestamptz not null,
  created_at       timestamptz not null default now(),
  last_accessed_at timestamptz not null default now()
);

create table error_logs (
  id              uuid not null default gen_random_uuid(),   -- implied
  organization_id uuid,
  severity        text,                                      -- implied
  message         text,                                      -- implied
  created_at      timestamptz not null default now()         -- implied
);

create table scrape_jobs (
  id         uuid not null default gen_random_uuid(),   -- implied
  domain_id  uuid not null,
  status     text not null default 'pending',           -- implied
  created_at timestamptz not null default now()         -- implied
);
