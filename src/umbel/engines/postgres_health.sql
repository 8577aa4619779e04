-- health: how the server and our tables are. Reads only.

-- name: state
-- answers one row: version as a number and as text, whether it is a standby, the settings that decide what a power failure
-- costs, the servers that must confirm a commit, its clock in unix seconds, its clients and how many it allows
select current_setting('server_version_num')::int4, current_setting('server_version'), pg_is_in_recovery(),
    current_setting('synchronous_commit'), current_setting('fsync'), current_setting('full_page_writes'),
    current_setting('synchronous_standby_names'), current_setting('autovacuum'),
    extract(epoch from clock_timestamp())::float8,
    (select count(*)::int4 from pg_stat_activity where backend_type = 'client backend'),
    current_setting('max_connections')::int4

-- name: changes
-- answers the numbers of the changes of our tables that were made
select number from umbel.migration order by number

-- name: oldest
-- answers what keeps dead rows from being removed: of the oldest transaction, prepared transaction and replication slot its
-- kind, its name and its age in seconds (of a slot in transactions). Of others' transactions only pg_monitor may see the age.
(
    select 'transaction', coalesce(nullif(application_name, ''), 'unnamed') || ' (process ' || pid || ')',
        extract(epoch from clock_timestamp() - xact_start)::float8
    from pg_stat_activity where xact_start is not null and backend_type = 'client backend' and pid <> pg_backend_pid()
    order by xact_start limit 1
)
union all
(
    select 'prepared transaction', gid, extract(epoch from clock_timestamp() - prepared)::float8
    from pg_prepared_xacts where database = current_database() order by prepared limit 1
)
union all
(
    select 'replication slot', slot_name::text, age(xmin)::float8
    from pg_replication_slots where xmin is not null order by age(xmin) desc limit 1
)

-- name: rows
-- answers living and dead rows of the jobs, as far as they were counted
select n_live_tup, n_dead_tup from pg_stat_user_tables where schemaname = 'umbel' and relname = 'job'
