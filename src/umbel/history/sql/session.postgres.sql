-- session: how a transaction of the history begins, and how its tables are made.

-- name: hello
-- answers the number of the server's process, which a pooler does not know
select pg_backend_pid()

-- name: write
-- $1 how long a statement may take; what is set ends with the transaction
select set_config('search_path', 'umbel_history', true), set_config('statement_timeout', $1::text, true),
    set_config('plan_cache_mode', 'force_generic_plan', true), set_config('enable_seqscan', 'off', true),
    set_config('jit', 'off', true), set_config('synchronous_commit', 'off', true)

-- name: read
-- $1 how long a statement may take. Lists are read in the order of an index: never gathered and sorted. What lies
-- scattered is mostly in memory: by the default cost of a page the server would rather read all that was sent since
select set_config('search_path', 'umbel_history', true), set_config('statement_timeout', $1::text, true),
    set_config('transaction_read_only', 'on', true), set_config('plan_cache_mode', 'force_custom_plan', true),
    set_config('enable_seqscan', 'off', true), set_config('enable_bitmapscan', 'off', true),
    set_config('jit', 'off', true), set_config('max_parallel_workers_per_gather', '0', true),
    set_config('random_page_cost', '1.1', true)

-- name: lock
-- $1 the number of the lock; held until the end of the transaction
select pg_advisory_xact_lock($1::int8)

-- name: there
-- answers whether the history was ever made here
select to_regclass('umbel_history.migration') is not null

-- name: schema
create schema if not exists umbel_history

-- name: place
select set_config('search_path', 'umbel_history', true)

-- name: migrations
create table if not exists umbel_history.migration (number integer primary key, at timestamptz not null default now())

-- name: migrated
-- answers the numbers of the changes that were made
select number from umbel_history.migration

-- name: migrate
-- $1 the number of a change that was made in this transaction
insert into umbel_history.migration (number) values ($1::int4)

-- name: size
-- answers about how many bytes the rows take: how many there are, by what the newest of them take
with newest as (select b.seq, pg_column_size(b.*) as body from job_body b order by b.seq desc limit 1000),
    attempts as (select coalesce(sum(pg_column_size(a.*)), 0) as n from attempt a where a.seq in (select seq from newest)),
    results as (select coalesce(sum(pg_column_size(r.*)), 0) as n from job_result r where r.seq in (select seq from newest)),
    each as (
        select coalesce(avg(n.body), 0) + 700
            + ((select n from attempts) + (select n from results)) / greatest(count(*), 1) as bytes
        from newest n
    ),
    jobs as (select n_live_tup as n from pg_stat_user_tables where schemaname = 'umbel_history' and relname = 'job'),
    others as (
        select coalesce(sum(pg_total_relation_size(relid)), 0) as n from pg_stat_user_tables
        where schemaname = 'umbel_history' and relname not in ('job', 'job_body', 'job_result', 'arg', 'attempt')
    )
select (each.bytes * jobs.n + others.n)::int8 from each, jobs, others
