-- Back from after.sql, policies of conversations and messages apart (rollback-policies.sql, which comes first). before-common.sql and
-- the before file of one's choice follow. Values that the backfill wrote stay.

drop policy error_logs_insert_organization on error_logs;
drop policy scrape_jobs_service on scrape_jobs;
drop policy scrape_jobs_organization on scrape_jobs;

drop view organization_activity;

alter table messages      drop constraint valid_message_metadata;
alter table conversations drop constraint valid_conversation_metadata;

drop function update_conversation_metadata(uuid, jsonb);
drop function get_user_organization_ids(uuid);
drop function get_user_domain_ids(uuid);

drop index idx_messages_conversation_created;
drop index idx_conversations_organization_active;
drop index idx_messages_organization_date;
drop index idx_messages_organization_created;
drop index idx_conversations_session_id;
drop index idx_messages_domain_sentiment;
drop index idx_messages_conversation_role;
drop index idx_conversations_domain_org;
drop index idx_conversations_domain_organization;
drop index idx_messages_role_created;
drop index idx_conversations_metadata_status;
drop index idx_conversations_deleted;
drop index idx_messages_deleted;
drop index idx_chat_telemetry_domain_cost_created;
drop index idx_chat_telemetry_model_duration;
drop index idx_chat_telemetry_domain_success_created;
drop index idx_scraped_pages_domain_status_created;
drop index idx_page_embeddings_domain_created_batch;

alter table conversations alter column organization_id drop not null;
alter table messages      alter column organization_id drop not null;

drop trigger messages_fill_tenant on messages;
drop function messages_fill_tenant();

alter table messages      drop column domain_id;
alter table conversations drop column updated_at;
alter table conversations drop column deleted_at;
alter table messages      drop column deleted_at;
