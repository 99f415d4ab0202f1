-- Loading is faster without these; they are built once, before the variants are cloned.
alter table workspaces  add primary key (id);
alter table users       add primary key (id);
alter table memberships add primary key (id);
alter table notes       add primary key (id);

alter table memberships add foreign key (workspace_id) references workspaces (id);
alter table memberships add foreign key (user_id)      references users (id);
alter table notes       add foreign key (workspace_id) references workspaces (id);
alter table notes       add foreign key (author_id)    references users (id);

create index memberships_user on memberships (user_id);
