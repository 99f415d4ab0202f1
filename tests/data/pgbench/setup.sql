-- What the scripts of this folder run on, beside pgbench's own tables at scale 1.
create table kv (k bigint primary key, v text not null, n int not null default 0);
insert into kv select i, 'value ' || i from generate_series(1, 1000) i;
create table events (id bigint generated always as identity primary key, tenant int not null, kind text not null, at timestamptz not null default now(), payload jsonb not null default '{}');
create index on events (tenant, at desc);
insert into events (tenant, kind) select i % 20, 'k' || i % 7 from generate_series(1, 2000) i;
create table jobs (id bigint generated always as identity primary key, state text not null default 'ready', tries int not null default 0);
insert into jobs (state) select 'ready' from generate_series(1, 500);
create table follows (who int, whom int, primary key (who, whom));
insert into follows select i, (i * 7) % 100 from generate_series(1, 100) i;
create sequence orders_seq;
create function pick(low int, high int) returns int language sql as 'select low + (high - low) / 2';
