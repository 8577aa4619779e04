-- reclaim and reconcile: return what a session holds to the front of its level; and clean up

-- name: cut
-- $1 queues, $2 lease in seconds, $3 now or null; a lease that ends later than two of them was set by a clock that has been
-- set back since
update umbel.session set until = coalesce($3::timestamptz, now()) + 2 * $2::float8 * interval '1 second'
where queue = any($1::text[]) and ended is null
    and until > coalesce($3::timestamptz, now()) + 2 * $2::float8 * interval '1 second'

-- name: bury
-- $1 queues, $2 sessions whose processes are gone, $3 now or null; they and those that have lapsed are dead from here on. It
-- waits for their receives and settles; what those have written is seen by the next statement, not by this one.
update umbel.session set ended = coalesce($3::timestamptz, now())
where queue = any($1::text[]) and ended is null and (id = any($2::uuid[]) or (
    until <= coalesce($3::timestamptz, now())
    and (select hold from umbel.queue where name = session.queue) <= coalesce($3::timestamptz, now())
))

-- name: doom
-- per job for whose sake its session was ended: $1 session, $2 job, $3 why it never runs again
update umbel.job set doom = given.doom
from unnest($1::uuid[], $2::uuid[], $3::text[]) as given(session, id, doom)
where job.id = given.id and job.id = any($2::uuid[]) and job.session = given.session and job.state + 0 = 1 and job.doom is null

-- name: move
-- $1 queues, $2 sessions whose processes are gone; $3 of them and $4 jobs in pairs: what they had started; $5 how many jobs
-- at most, $6 now or null. Returns the jobs of dead sessions and wakes for what is due; answers promoted, returned.
-- A job that had started is charged a crash and its neighbours nothing. Of a lapsed session nobody knows what had started:
-- each job is charged a loss, but a marked one ran alone, so it is the one. What a session holds is looked up session by
-- session: planned while the table was empty, a join in the order of ids would walk through every job later.
with dead as materialized (
    select id, queue, id = any($2::uuid[]) as gone from umbel.session
    where queue = any($1::text[]) and ended < 'infinity'
),
held as materialized (
    select job.id, dead.gone, (dead.id, job.id) in (select * from unnest($3::uuid[], $4::uuid[])) as started
    from dead cross join lateral (
        select job.id from umbel.job where job.session = dead.id and job.queue = dead.queue and job.state = 1
        limit $5::int4 for no key update skip locked
    ) as job
    limit $5::int4
),
returned as (
    update umbel.job set
        state = 0, session = null, number = null, marked = false, back = true,
        crashes = crashes + case when held.gone then held.started else job.marked end::int,
        losses = losses + (not held.gone and not job.marked)::int
    from held where job.id = held.id and job.id = any(array(select id from held))
),
promoted as (
    update umbel.job set delayed = false
    where job.id = any(array(
        select job.id from unnest($1::text[]) as looked(queue) cross join lateral (
            select job.id from umbel.job
            where job.queue = looked.queue and job.state = 0 and job.delayed
                and job.run_at <= coalesce($6::timestamptz, now())
            order by job.run_at limit $5::int4 for no key update skip locked
        ) as job
        limit $5::int4 - (select count(*) from held)
    ))
    returning 1
)
select (select count(*) from promoted)::int4, (select count(*) from held)::int4

-- name: outlook
-- $1 queues, $2 now or null; answers seconds until the next delayed job is due and until the next lease ends, or nulls, and
-- the queues in which something is ready, unless they are paused: a wake-up may have died with the process it was meant for;
-- and whether there are limits
select
    extract(epoch from (
        select min(first.run_at) from unnest($1::text[]) as looked(queue) cross join lateral (
            select job.run_at from umbel.job where job.queue = looked.queue and job.state = 0 and job.delayed
            order by job.run_at limit 1
        ) as first
    ) - coalesce($2::timestamptz, now()))::float8,
    extract(epoch from (
        select min(greatest(session.until, queue.hold)) from umbel.session join umbel.queue on queue.name = session.queue
        where session.queue = any($1::text[]) and session.ended is null
    ) - coalesce($2::timestamptz, now()))::float8,
    array(
        select distinct looked.queue from unnest($1::text[]) as looked(queue)
        cross join generate_series(0, 9) as step(level) cross join lateral (
            select from umbel.job where job.queue = looked.queue and job.level = step.level::int2 and job.state = 0
                and job.run_at <= coalesce($2::timestamptz, now())
            limit 1
        ) as ready
        where looked.queue <> all(array(select queue from umbel.pause))
    ),
    exists (select from umbel.counter)

-- name: number
-- $1 session, $2 its new receive number, $3 queues; from here on a receive with an earlier number is refused. It waits for one
-- that is under way; what that hands out is seen by the next statement, not by this one.
update umbel.session set received = $2::int4
where id = $1::uuid and queue = any(array(
    select queue from umbel.session
    where id = $1::uuid and queue = any($3::text[]) and ended is null and received < $2::int4
    order by queue for no key update
))

-- name: reconcile
-- the same, and $4 ids, $5 receive numbers: what the child has; all else returns, uncharged. Answers queues, once a job.
-- `not in`, for `not exists` may be planned as a join that walks through every job in the order of ids.
update umbel.job set state = 0, session = null, number = null, marked = false, back = true
where session = $1::uuid and state = 1
    and queue = any(array(
        select queue from umbel.session
        where id = $1::uuid and queue = any($3::text[]) and ended is null and received = $2::int4
    ))
    and (job.id, job.number) not in (select * from unnest($4::uuid[], $5::int4[]))
returning queue

-- name: alive
-- $1 session, $2 queues; answers a row if it is open in one of them
select 1 from umbel.session where id = $1::uuid and queue = any($2::text[]) and ended is null limit 1

-- name: expire
-- $1 how many, $2 now or null; records that have expired; answers how many were deleted
with off as materialized (select set_config('synchronous_commit', 'off', true)),
gone as (
    delete from umbel.result where id = any(array(
        select result.id from off, umbel.result where expires <= coalesce($2::timestamptz, now())
        limit $1::int4 for update of result skip locked
    ))
    returning 1
)
select count(*)::int4 from gone

-- name: expire_claims
-- the same for claims
delete from umbel.claim where id = any(array(
    select id from umbel.claim where expires <= coalesce($2::timestamptz, now()) limit $1::int4 for update skip locked
))

-- name: forget
-- $1 seconds, $2 now or null; sessions that are dead for so long; those that were closed are remembered for ten minutes
delete from umbel.session
where (ended < coalesce($2::timestamptz, now()) - $1::float8 * interval '1 second'
        or ended = 'infinity' and until < coalesce($2::timestamptz, now()) - interval '10 minutes')
    and not exists (select from umbel.job where job.session = session.id and job.state = 1)

-- name: trim
-- $1 queues, $2 seconds, $3 how many, $4 now or null; dead letters that died before, and the oldest beyond that many a queue
delete from umbel.job where id = any(array(
    select trimmed.id from unnest($1::text[]) as looked(queue) cross join lateral (
        (select id from umbel.job where queue = looked.queue and state = 2
            and run_at < coalesce($4::timestamptz, now()) - $2::float8 * interval '1 second' limit 1000)
        union all
        (select id from umbel.job where queue = looked.queue and state = 2 order by run_at desc limit 1000 offset $3::int4)
    ) as trimmed
))
