-- age: jobs that nobody took for long rise to the next more urgent level. Whoever ages a queue holds its lock, so that he
-- sees all that another one did; he waits for nobody else.

-- name: lock
-- $1 class and $2 number of a queue
select pg_advisory_xact_lock($1::int4, $2::int4)

-- name: rise
-- $1 queue, $2 seconds, $3 how many a level, $4 now or null; the oldest jobs of levels of which none was taken for so long go
-- to the end of the next more urgent one; answers how many
with overdue as materialized (
    select ageing.level from umbel.ageing
    where ageing.queue = $1::text and ageing.since <= coalesce($4::timestamptz, now()) - $2::float8 * interval '1 second'
        and ageing.queue <> all(array(select queue from umbel.pause))
        and ageing.front = (
            select job.id from umbel.job
            where job.queue = $1::text and job.level = ageing.level and job.state = 0
                and job.run_at <= coalesce($4::timestamptz, now())
            order by job.run_at, job.seq limit 1
        )
),
oldest as materialized (
    select job.id from overdue cross join lateral (
        select job.id, job.run_at, job.seq from umbel.job
        where job.queue = $1::text and job.level = overdue.level and job.state = 0
            and job.run_at <= coalesce($4::timestamptz, now())
        order by job.run_at, job.seq limit $3::int4 for no key update skip locked
    ) as job
    order by overdue.level, job.run_at, job.seq
),
placed as materialized (select id, nextval('umbel.job_seq') as seq from oldest),
risen as (
    update umbel.job set level = job.level - 1, run_at = coalesce($4::timestamptz, now()), seq = placed.seq
    from placed where job.id = placed.id and job.id = any(array(select id from placed))
    returning 1
)
select count(*)::int4 from risen

-- name: keep
-- $1 queue, $2 now or null; remembers who stands at the front of each level since when; nobody does while it is paused
with first as materialized (
    select step.level::int2 as level, job.id from generate_series(1, 9) as step(level) cross join lateral (
        select job.id from umbel.job
        where job.queue = $1::text and job.level = step.level::int2 and job.state = 0
            and job.run_at <= coalesce($2::timestamptz, now())
        order by job.run_at, job.seq limit 1
    ) as job
    where $1::text <> all(array(select queue from umbel.pause))
),
gone as (
    delete from umbel.ageing where queue = $1::text and level <> all(array(select level from first))
)
insert into umbel.ageing(queue, level, front, since)
select $1::text, level, id, coalesce($2::timestamptz, now()) from first
on conflict (queue, level) do update set front = excluded.front, since = excluded.since
where ageing.front <> excluded.front or ageing.since > excluded.since
