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
-- $1 class; topics $2 with what to tell $3 and how many to tell $4; $5 channel that is not told. Answers for how many topics
-- somebody heard. See 0011_ring.sql.
select umbel.ring($1::int4, $2::int4[], $3::text[], $4::int4[], $5::text)

-- name: transaction
-- answers the number of this transaction
select pg_current_xact_id()::text

-- name: fates
-- $1 numbers of transactions; answers each with what became of it: in progress, committed or aborted, or null for an old one
select number, pg_xact_status(number::xid8) from unnest($1::text[]) as number
