-- limits: locks, what is due, what is shown. Nobody waits here for a job or a session while he holds what others wait for
-- here, but for those of his own; so whoever settles, receives or reclaims never waits in a circle.

-- name: steer
-- from here to the end of the transaction plans follow the order of an index, however few rows there were when they were made
select set_config('enable_bitmapscan', 'off', true)

-- name: lock
-- per limit: $1 id, $2 queue, $3 task, $4 key, $5 how many at once, $6 seconds between two, $7 burst; makes those that are
-- new, notes what they allow, and locks all, in the order of their ids
insert into umbel.counter(id, queue, task, key, concurrency, every, burst)
select given.id, given.queue, given.task, given.key, given.concurrency, given.every, given.burst
from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::int4[], $6::float8[], $7::int4[])
    as given(id, queue, task, key, concurrency, every, burst)
order by given.id
on conflict (id) do update set concurrency = excluded.concurrency, every = excluded.every, burst = excluded.burst
where (counter.concurrency, counter.every, counter.burst) is distinct from (excluded.concurrency, excluded.every, excluded.burst)

-- name: relock
-- $1 limits; locks those that are there
select from umbel.counter where id = any($1::uuid[]) order by id for no key update

-- name: lock_keys
-- per unique key, each once: $1 id, $2 job, $3 its id; locks all, in the order of their ids. A new one has nobody yet.
insert into umbel.holder(id, job, name, until)
select given.id, given.job, given.name, '-infinity' from unnest($1::uuid[], $2::uuid[], $3::text[]) as given(id, job, name)
order by given.id
on conflict (id) do update set job = excluded.job where false

-- name: lock_queue
-- $1 class and $2 number of a queue: whoever counts it waits for who adds to it
select pg_advisory_xact_lock($1::int4, $2::int4)

-- name: due
-- $1 queues, $2 how many, $3 now or null; answers limits that can release something now
select due.id::text from unnest($1::text[]) as looked(queue) cross join lateral (
    select id from umbel.counter
    where counter.queue = looked.queue and counter.next <= coalesce($3::timestamptz, now()) order by counter.next limit $2::int4
) as due limit $2::int4

-- name: outlook
-- $1 queues, $2 now or null; answers seconds until a limit can release something, or null
select extract(epoch from min(first.next) - coalesce($2::timestamptz, now()))::float8
from unnest($1::text[]) as looked(queue) cross join lateral (
    select counter.next from umbel.counter
    where counter.queue = looked.queue and counter.next is not null order by counter.next limit 1
) as first

-- name: over
-- $1 how many, behind $2 job; $3 now or null; answers job, limit, whether it is neither ready nor running, and whether there may
-- be more behind it: of those that are neither, and of the last that was looked at if so
select job::text, counter::text, over, nth = $1::int4 from (
    select pass.job, pass.counter, row_number() over (order by pass.job) as nth, (
        select true from umbel.job
        where job.id = pass.job and (job.state + 0 = 1 or job.state + 0 = 0 and job.run_at <= coalesce($3::timestamptz, now()))
        limit 1
    ) is null as over
    from (select job, counter from umbel.pass where job > $2::uuid order by job limit $1::int4) as pass
) as looked
where over or nth = $1::int4
order by job

-- name: adjust
-- $1 queue, $2 task, $3 how many at once, $4 seconds between two, $5 burst
insert into umbel.adjustment(queue, task, concurrency, every, burst)
values ($1::text, $2::text, $3::int4, $4::float8, $5::int4)
on conflict (queue, task) do update set concurrency = excluded.concurrency, every = excluded.every, burst = excluded.burst

-- name: unadjust
-- $1 queue, $2 task
delete from umbel.adjustment where queue = $1::text and task = $2::text

-- name: adjusted
-- $1 queues; answers queue and task of all that are adjusted there
select queue, task from umbel.adjustment where queue = any($1::text[])

-- name: hasten
-- $1 queue, $2 task, $3 now or null; all its limits that hold some are looked after as soon as may be
update umbel.counter set next = coalesce($3::timestamptz, now())
where id = any(array(
    select id from umbel.counter where queue = $1::text and task = $2::text and waiting order by id for no key update
))

-- name: show
-- $1 queue, $2 how many; behind $3 task, $4 start of the key, $5 limit; answers task, start of the key, id, key, what its jobs
-- say, what it allows now (at once, seconds, burst), whether that was adjusted, how many are held, out and in, turns that have
-- some held. Only what has jobs; and adjustments of tasks of which nothing has.
with adjusted as materialized (select * from umbel.adjustment where queue = $1::text),
standing as materialized (
    select counter.*, held.number, held.turns from umbel.counter cross join lateral (
        select count(*)::int4 as number,
            count(distinct job.turn)::int4 as turns
        from umbel.job where job.queue = counter.queue and job.counter = counter.id and job.state = 4
    ) as held
    where counter.queue = $1::text and (counter.task, left(counter.key, 100), counter.id) > ($3::text, $4::text, $5::uuid)
        and (counter.released > 0 or counter.entered > 0 or held.number > 0)
    order by counter.task, left(counter.key, 100), counter.id limit $2::int4
)
select * from (
    select standing.task, left(standing.key, 100) as start, standing.id::text as id, standing.key,
        standing.concurrency, standing.every, standing.burst, coalesce(adjusted.concurrency, standing.concurrency),
        coalesce(adjusted.every, standing.every), coalesce(adjusted.burst, standing.burst), adjusted.task is not null,
        standing.number, standing.released, standing.entered, standing.turns
    from standing left join adjusted on adjusted.task = standing.task
    union all
    select task, '', '00000000-0000-0000-0000-000000000000', '', 0, 0, 1, concurrency, every, burst, true, 0, 0, 0, 0
    from adjusted where (task, '', '00000000-0000-0000-0000-000000000000'::uuid) > ($3::text, $4::text, $5::uuid)
        and not exists (
            select from umbel.counter where counter.queue = $1::text and counter.task = adjusted.task
                and (released > 0 or entered > 0 or waiting)
        )
) as shown
order by task, start, id limit $2::int4

-- name: idle
-- $1 how many, behind $2 limit; $3 now or null; removes limits that nobody needs: no job, no start to wait for. Answers the
-- last that was looked at, or null when all were.
with looked as materialized (
    select id from umbel.counter where id > $2::uuid order by id limit $1::int4
),
idle as materialized (
    select counter.id from umbel.counter
    where id = any(array(select id from looked)) and released = 0 and entered = 0 and next is null
        and not waiting and due <= coalesce($3::timestamptz, now())
    for update skip locked
),
gone as (delete from umbel.counter where id = any(array(select id from idle))),
turns as (delete from umbel.turn where counter = any(array(select id from idle)))
select case when count(*) = $1::int4 then (array_agg(id::text order by id desc))[1] end from looked

-- name: vacant
-- $1 how many, behind $2 key; $3 now or null; answers key, whether nobody has it any more, and whether there may be more behind
-- it: of those that nobody has, and of the last that was looked at if so
select id::text, vacant, nth = $1::int4 from (
    select holder.id, row_number() over (order by holder.id) as nth, holder.until <= coalesce($3::timestamptz, now()) is true
        or holder.until is null and (
            select true from umbel.job where job.id = holder.job and job.state + 0 <> 2 limit 1
        ) is null as vacant
    from (select id, job, until from umbel.holder where id > $2::uuid order by id limit $1::int4) as holder
) as looked
where vacant or nth = $1::int4
order by id

-- name: relock_keys
-- $1 keys; locks those that are there
select from umbel.holder where id = any($1::uuid[]) order by id for update

-- name: vacate
-- $1 keys, which this transaction has locked; $2 now or null; removes those that nobody has
delete from umbel.holder
where id = any($1::uuid[]) and (until <= coalesce($2::timestamptz, now()) or until is null and (
    select true from umbel.job where job.id = holder.job and job.state + 0 <> 2 limit 1
) is null)
