-- waking: who waits for what. A process that waits has one connection that listens to the channel umbel_<its pid>, and
-- holds, while it waits, a shared advisory lock for each topic: a queue, or all results. Locks end with their connection,
-- so nobody rings for the dead, and a topic for which nobody waits costs one look.

-- name: hello
-- answers who serves this connection, whether the tables are there
select pg_backend_pid(), to_regclass('umbel.migration') is not null

-- name: listen
-- answers the channel of this connection; the caller then listens to it
select 'umbel_' || pg_backend_pid()

-- name: hold
-- $1 class and $2 topics; waits for nobody but those who are just looking
select pg_advisory_lock_shared($1::int4, topic) from unnest($2::int4[]) as topic

-- name: drop
-- $1 class and $2 topics
select pg_advisory_unlock_shared($1::int4, topic) from unnest($2::int4[]) as topic

-- name: ring
-- $1 class; topics $2 with what to tell $3 and how many to tell $4; $5 channel that is not told. Answers how many heard.
-- The exclusive lock is the quick look: who gets it knows that nobody waits. It is never held for more than this statement.
with off as materialized (select set_config('synchronous_commit', 'off', true)),
asked as materialized (
    select topic, payload, number
    from off, unnest($2::int4[], $3::text[], $4::int4[]) as asked(topic, payload, number)
    where not pg_try_advisory_xact_lock($1::int4, topic)
)
select count(*) from (
    select pg_notify(waiting.channel, asked.payload)
    from asked cross join lateral (
        select channel from (
            select distinct 'umbel_' || pid as channel from pg_locks
            where locktype = 'advisory' and objsubid = 2 and granted and mode = 'ShareLock'
                and classid = $1::int4::oid and objid = asked.topic::oid
                and database = (select oid from pg_database where datname = current_database())
        ) as holders
        where channel <> $5::text
        order by random()
        limit asked.number
    ) as waiting
) as told

-- name: transaction
-- answers the number of this transaction
select pg_current_xact_id()::text

-- name: fates
-- $1 numbers of transactions; answers each with what became of it: in progress, committed or aborted, or null for an old one
select number, pg_xact_status(number::xid8) from unnest($1::text[]) as number
