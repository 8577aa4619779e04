-- inspect: where jobs are. Reads only.

-- name: queues
-- answers all names, sorted
select name from umbel.queue order by name

-- name: counts
-- $1 queues, $2 now or null; answers, in their order, queue, ready, delayed, running, parked, dead, the envelope of the
-- job that is ready for longest, held. Each number is counted in an index of its own.
select looked.queue,
    (select count(*)::int4 from umbel.job where queue = looked.queue and state = 0 and run_at <= looked.now),
    (select count(*)::int4 from umbel.job where queue = looked.queue and state = 0 and run_at > looked.now),
    (
        select count(*)::int4 from umbel.session join umbel.job on job.session = session.id and job.queue = session.queue
        where session.queue = looked.queue and job.state = 1
    ),
    (select count(*)::int4 from umbel.job where queue = looked.queue and state = 3),
    (select count(*)::int4 from umbel.job where queue = looked.queue and state = 2),
    (
        select first.envelope from generate_series(0, 9) as step(level) cross join lateral (
            select job.envelope, job.run_at, job.seq from umbel.job
            where job.queue = looked.queue and job.level = step.level::int2 and job.state = 0 and job.run_at <= looked.now
            order by job.run_at, job.seq limit 1
        ) as first
        order by first.run_at, first.seq limit 1
    ),
    (select count(*)::int4 from umbel.job where queue = looked.queue and state = 4)
from (
    select queue, place, coalesce($2::timestamptz, now()) as now
    from unnest($1::text[]) with ordinality as given(queue, place)
) as looked
order by looked.place

-- name: sessions
-- $1 queues, $2 now or null; answers each open session once: id, info, seconds left of its lease, names of the jobs it holds
select replace(session.id::text, '-', ''), (array_agg(session.info))[1],
    extract(epoch from min(session.until) - coalesce($2::timestamptz, now()))::float8,
    array(
        select coalesce(job.name, job.id::text) from umbel.job
        where job.session = session.id and job.state = 1 and job.queue = any($1::text[]) order by job.seq
    )
from umbel.session where session.queue = any($1::text[]) and session.ended is null
group by session.id order by session.id

-- name: locate
-- $1 id, $2 queue or empty, $3 now or null; answers place, queue, retries, doom, note: of the job, and of its record
select case state when 0 then case when run_at <= coalesce($3::timestamptz, now()) then 'ready' else 'delayed' end
    when 1 then 'running' when 2 then 'dead' when 4 then 'held' else 'parked' end, queue::text, retries, coalesce(doom, '')::text, coalesce(note, '')
from umbel.job where id = $1::uuid and $2::text in ('', queue)
union all
select 'ended', $2::text, 0, '', '' from umbel.result where id = $1::uuid and expires > coalesce($3::timestamptz, now())
