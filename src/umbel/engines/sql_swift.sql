-- sql_swift: what is asked of claims on PostgreSQL most often, one statement a verb: no lock is held over a round trip.
-- {jobs}, {sessions}, {pauses}, {outboxes} and {results} are tables, as the dialect quotes their names. Times are unix ms.
-- A row is looked up and locked one by one where it must be ours: a generic plan would compare each with each.

-- name: lease
-- $1 session, $2 number of its receive, $3 queue, $4 ids, $5 of which of them there may be two messages, $6 now or null.
-- Answers whether the session is open and has no later number; if the queue is paused; if jobs wait in its outbox that
-- nobody sends on; and which ids are leased: those of which nothing was known.
with moment as materialized (
    select coalesce($6::bigint, (extract(epoch from clock_timestamp()) * 1000)::bigint) as now
),
mine as (
    update {sessions} set number = $2::bigint
    where queue = $3::varchar and session = $1::varchar and deadline > 0 and number < $2::bigint
    returning number
),
signs as materialized (
    select exists(select from {pauses} where queue = $3::varchar) as paused,
        exists(select from {outboxes} where home = $3::varchar and waiting > 0 and until <= (select now from moment))
            as waiting
),
fresh as (
    insert into {jobs}(
        queue, id, session, number, generation, place, retries, crashes, losses, marked, doom, copies, expires
    )
    select $3::varchar, given.id, $1::varchar, $2::bigint, 0, '', 0, 0, 0, false, '', given.copy, moment.now + 2592000000
    from moment, signs, unnest($4::varchar[], $5::boolean[]) as given(id, copy)
    where exists(select from mine) and not signs.paused
    order by given.id
    on conflict (queue, id) do nothing
    returning id
)
select exists(select from mine), paused, waiting, array(select id from fresh) from signs

-- name: over
-- $1 session, $2 number, $3 queue, $4 ids, $5 now or null. Answers which of the ids have a record. What of these the lease
-- before it, in the same transaction, took for new is forgotten: it was deleted with its end, and the message came twice.
with over as materialized (
    select id from {results}
    where id = any($4::varchar[]) and value is not null
        and expires > coalesce($5::bigint, (extract(epoch from clock_timestamp()) * 1000)::bigint)
),
gone as (
    delete from {jobs}
    where queue = $3::varchar and id = any(array(select id from over)) and session = $1::varchar and number = $2::bigint
)
select id from over

-- name: end
-- $1 session, $2 queue; per job: $3 id, $4 number, $5 record, $6 ms to keep it; $7 now or null. Answers the places (from 1) of
-- those that were ours and have no parcel. Whoever declares the session dead waits for this, or this finds it dead.
with moment as materialized (
    select coalesce($7::bigint, (extract(epoch from clock_timestamp()) * 1000)::bigint) as now
),
alive as materialized (
    select queue from {sessions} where queue = $2::varchar and session = $1::varchar and deadline > 0 for no key update
),
ours as materialized (
    select given.id, given.record, given.place, case when job.copies then greatest(given.ttl, 86400000) else given.ttl end as ttl
    from unnest($3::varchar[], $4::bigint[], $5::bytea[], $6::bigint[])
        with ordinality as given(id, number, record, ttl, place)
    cross join lateral (
        select copies from {jobs}
        where queue = $2::varchar and id = given.id and session = $1::varchar and number = given.number and parcel is null
            and exists(select from alive)
        limit 1 for update
    ) as job
),
gone as (delete from {jobs} where queue = $2::varchar and id = any(array(select id from ours))),
kept as (
    insert into {results} as known(id, expires, owner, value)
    select ours.id, moment.now + ours.ttl, '', ours.record from ours, moment order by ours.id
    on conflict (id) do update set expires = excluded.expires, owner = excluded.owner, value = excluded.value
        where known.expires <= (select now from moment) or (known.value is null and known.owner = excluded.owner)
)
select place::integer from ours
