-- Takes the migration's policies on conversations and messages away; one of the before files puts the old ones back.
drop policy conversations_select_organization on conversations;
drop policy conversations_insert_organization on conversations;
drop policy conversations_update_organization on conversations;
drop policy conversations_delete_organization on conversations;
drop policy messages_select_organization on messages;
drop policy messages_insert_organization on messages;
drop policy messages_update_own on messages;
drop policy messages_delete_own on messages;
