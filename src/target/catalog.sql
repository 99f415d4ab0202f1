-- Everything that defines the schemas in $1, as (key, definition) rows that are the same for equal schemas: no oids, no
-- statistics, privileges sorted and spelled out. What belongs to an extension is represented by the extension.
with
schemas as (
    select oid, nspname, nspowner, nspacl from pg_namespace where nspname = any($1::text[])
),
extension_owned as (
    select classid, objid from pg_depend where deptype = 'e'
),
relations as (
    select c.*, s.nspname, s.nspname || '.' || c.relname as name
      from pg_class c join schemas s on s.oid = c.relnamespace
     where c.relkind in ('r', 'p', 'v', 'm', 'f', 'S')
       and not exists (select from extension_owned e where e.classid = 'pg_class'::regclass and e.objid = c.oid)
),
routines as (
    select p.*, s.nspname || '.' || p.proname || '(' || pg_get_function_identity_arguments(p.oid) || ')' as name
      from pg_proc p join schemas s on s.oid = p.pronamespace
     where not exists (select from extension_owned e where e.classid = 'pg_proc'::regclass and e.objid = p.oid)
),
types as (
    select t.*, s.nspname || '.' || t.typname as name
      from pg_type t join schemas s on s.oid = t.typnamespace
     where t.typtype in ('e', 'd', 'c', 'r')
       and (t.typtype <> 'c' or exists (select from pg_class c where c.oid = t.typrelid and c.relkind = 'c'))
       and not exists (select from extension_owned e where e.classid = 'pg_type'::regclass and e.objid = t.oid)
),
-- One row a privilege list: what it is on, and the list as it takes effect.
privileges as (
    select 'schema ' || nspname as object, coalesce(nspacl, acldefault('n', nspowner)) as acl from schemas
    union all
    select 'relation ' || name,
           coalesce(relacl, acldefault(case relkind when 'S' then 's'::"char" else 'r'::"char" end, relowner)) from relations
    union all
    select 'column ' || r.name || '.' || a.attname, a.attacl
      from relations r join pg_attribute a on a.attrelid = r.oid
     where a.attnum > 0 and not a.attisdropped and a.attacl is not null
    union all
    select 'routine ' || name, coalesce(proacl, acldefault('f', proowner)) from routines
    union all
    select 'type ' || name, coalesce(typacl, acldefault('T', typowner)) from types
    union all
    select 'default privileges of ' || d.defaclrole::regrole || coalesce(' in ' || s.nspname, '') || ' on '
           || d.defaclobjtype::text, d.defaclacl
      from pg_default_acl d left join schemas s on s.oid = d.defaclnamespace
     where d.defaclnamespace = 0 or s.oid is not null
)

select 'schema ' || nspname as key, 'owner ' || nspowner::regrole as definition from schemas

union all
select 'extension ' || e.extname, 'version ' || e.extversion || ' in ' || n.nspname
  from pg_extension e join pg_namespace n on n.oid = e.extnamespace

union all
select 'relation ' || name,
       concat_ws(' ',
           case relkind when 'r' then 'table' when 'p' then 'partitioned table' when 'v' then 'view'
                        when 'm' then 'materialized view' when 'f' then 'foreign table' else 'sequence' end,
           'owner ' || relowner::regrole,
           case relpersistence when 'u' then 'unlogged' when 't' then 'temporary' end,
           'access method ' || (select amname from pg_am where pg_am.oid = relam),
           case when relkind in ('r', 'p') then 'row security ' || relrowsecurity || ' forced ' || relforcerowsecurity end,
           case when relreplident <> 'd' and relkind in ('r', 'p') then 'replica identity ' || relreplident::text end,
           'partition by ' || case when relkind = 'p' then pg_get_partkeydef(oid) end,
           case when relispartition then pg_get_expr(relpartbound, oid) end,
           (select 'inherits ' || string_agg(inhparent::regclass::text, ', ' order by inhseqno)
              from pg_inherits where inhrelid = relations.oid),
           'with ' || (select string_agg(option, ', ' order by option) from unnest(reloptions) as option),
           case when relkind in ('v', 'm') then 'as ' || pg_get_viewdef(oid) end)
  from relations

union all
select 'column ' || r.name || '.' || a.attname,
       concat_ws(' ',
           'position ' || row_number() over (partition by r.oid order by a.attnum),
           format_type(a.atttypid, a.atttypmod),
           case when a.attnotnull then 'not null' end,
           case a.attidentity when 'a' then 'identity always' when 'd' then 'identity by default' end,
           case when a.attgenerated <> '' then 'generated as ' else 'default ' end || pg_get_expr(d.adbin, d.adrelid),
           case when a.attcollation <> t.typcollation
                then 'collate ' || (select collname from pg_collation where pg_collation.oid = a.attcollation) end,
           case when a.attstorage <> t.typstorage then 'storage ' || a.attstorage::text end,
           'statistics ' || nullif(a.attstattarget, -1))
  from relations r
  join pg_attribute a on a.attrelid = r.oid and a.attnum > 0 and not a.attisdropped
  join pg_type t on t.oid = a.atttypid
  left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
 where r.relkind <> 'S'

union all
select 'sequence ' || r.name,
       format('%s start %s increment %s min %s max %s cache %s cycle %s owned by %s', format_type(s.seqtypid, null),
              s.seqstart, s.seqincrement, s.seqmin, s.seqmax, s.seqcache, s.seqcycle,
              (select d.refobjid::regclass || '.' || a.attname
                 from pg_depend d join pg_attribute a on a.attrelid = d.refobjid and a.attnum = d.refobjsubid
                where d.classid = 'pg_class'::regclass and d.objid = r.oid and d.deptype in ('a', 'i')
                  and d.refclassid = 'pg_class'::regclass
                limit 1))
  from relations r join pg_sequence s on s.seqrelid = r.oid

union all
select 'constraint ' || r.name || '.' || c.conname, pg_get_constraintdef(c.oid)
  from relations r join pg_constraint c on c.conrelid = r.oid

union all
select 'constraint ' || t.name || '.' || c.conname, pg_get_constraintdef(c.oid)
  from types t join pg_constraint c on c.contypid = t.oid

union all
select 'index ' || r.nspname || '.' || c.relname,
       concat_ws(' ', pg_get_indexdef(c.oid), case when not i.indisvalid then 'INVALID' end,
                 case when i.indisclustered then 'CLUSTERED' end, case when i.indisreplident then 'REPLICA IDENTITY' end)
  from relations r
  join pg_index i on i.indrelid = r.oid
  join pg_class c on c.oid = i.indexrelid

union all
select 'policy ' || r.name || '.' || p.polname,
       concat_ws(' ',
           case when p.polpermissive then 'permissive' else 'restrictive' end,
           'for ' || case p.polcmd when 'r' then 'select' when 'a' then 'insert' when 'w' then 'update'
                                   when 'd' then 'delete' else 'all' end,
           'to ' || (select string_agg(case when role = 0 then 'public' else role::regrole::text end, ', '
                                       order by role::regrole::text) from unnest(p.polroles) as role),
           'using (' || pg_get_expr(p.polqual, p.polrelid) || ')',
           'with check (' || pg_get_expr(p.polwithcheck, p.polrelid) || ')')
  from relations r join pg_policy p on p.polrelid = r.oid

union all
select 'trigger ' || r.name || '.' || t.tgname, pg_get_triggerdef(t.oid) || ' enabled ' || t.tgenabled::text
  from relations r join pg_trigger t on t.tgrelid = r.oid
 where not t.tgisinternal

union all
select 'rule ' || r.name || '.' || w.rulename, pg_get_ruledef(w.oid) || ' enabled ' || w.ev_enabled::text
  from relations r join pg_rewrite w on w.ev_class = r.oid
 where w.rulename <> '_RETURN'

union all
select 'statistics ' || s.nspname || '.' || x.stxname, pg_get_statisticsobjdef(x.oid)
  from schemas s join pg_statistic_ext x on x.stxnamespace = s.oid

union all
select 'routine ' || name,
       'owner ' || proowner::regrole || ' ' || case
           when prokind = 'a' then 'aggregate ' || (select concat_ws(' ', aggtransfn, aggfinalfn, aggcombinefn, agginitval)
                                                      from pg_aggregate where aggfnoid = routines.oid)
           else pg_get_functiondef(oid) end
  from routines

union all
select 'type ' || name,
       concat_ws(' ', 'owner ' || typowner::regrole,
           case typtype when 'e' then 'enum' when 'd' then 'domain' when 'c' then 'composite' else 'range' end,
           (select string_agg(quote_literal(enumlabel), ', ' order by enumsortorder)
              from pg_enum where enumtypid = types.oid),
           case when typtype = 'd' then format_type(typbasetype, typtypmod) end,
           case when typnotnull then 'not null' end,
           'default ' || typdefault,
           (select string_agg(attname || ' ' || format_type(atttypid, atttypmod), ', ' order by attnum)
              from pg_attribute where attrelid = typrelid and attnum > 0 and not attisdropped))
  from types

union all
select 'privileges on ' || object,
       (select string_agg(
                   format('%s: %s%s by %s', case when grantee = 0 then 'public' else grantee::regrole::text end,
                          privilege_type, case when is_grantable then '*' else '' end, grantor::regrole),
                   ', ' order by grantee::regrole::text, privilege_type, grantor::regrole::text)
          from aclexplode(acl))
  from privileges

union all
select 'comment on ' || object.name, d.description
  from (select 'pg_class'::regclass as class, oid, 'relation ' || name as name from relations
        union all select 'pg_proc'::regclass, oid, 'routine ' || name from routines
        union all select 'pg_type'::regclass, oid, 'type ' || name from types
        union all select 'pg_namespace'::regclass, oid, 'schema ' || nspname from schemas) as object
  join pg_description d on d.classoid = object.class and d.objoid = object.oid and d.objsubid = 0

union all
select 'comment on column ' || r.name || '.' || a.attname, d.description
  from relations r
  join pg_attribute a on a.attrelid = r.oid
  join pg_description d on d.classoid = 'pg_class'::regclass and d.objoid = r.oid and d.objsubid = a.attnum
