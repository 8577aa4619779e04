-- receive: hand out ready jobs

-- name: receive
-- $1 session, $2 receive number, $3 queues to look into; levels $4 and queues $5 in pairs, in the order in which they are
-- served; $6 how many jobs and $7 how many bytes at most; $8 now or null; for each pair $9 microseconds since 2000 and $10
-- number: what is not behind that is passed over. Answers at least one row: alive, seconds until the next delayed job is
-- due or null (also if as many were found as were wanted), what makes a delivery with its place, or nulls, whether nodes of flows
-- have not sent all, and seconds until a limit can release something, or null.
--
-- One probe of the index per level and queue, which takes no more rows than are wanted: a scan over all levels would read
-- every delayed row. now() and not clock_timestamp(): only the former bounds an index. = any(array(…)) and not a join: a
-- generic plan would read the whole table for a join. Of a queue that is paused nothing is looked at.
with off as materialized (select set_config('synchronous_commit', 'off', true)),
fence as materialized (
    select session.queue from off, umbel.session
    where session.id = $1::uuid and session.queue = any($3::text[]) and session.ended is null
        and session.received < $2::int4
    order by session.queue for no key update of session
),
open as materialized (
    select queue from fence where queue <> all(array(select queue from umbel.pause))
),
counted as (
    update umbel.session set received = $2::int4
    where session.id = $1::uuid and session.queue = any(array(select queue from fence))
),
found as materialized (
    select row_number() over () as place, job.id, job.size
    from unnest($4::int2[], $5::text[], $9::int8[], $10::int8[]) as looked(level, queue, at, seq)
    cross join lateral (
        select job.id, octet_length(job.envelope) as size from umbel.job
        where job.queue = looked.queue and job.level = looked.level and job.state = 0
            and job.run_at <= coalesce($8::timestamptz, now())
            and (job.run_at, job.seq) > (timestamptz '2000-01-01 00:00Z' + looked.at * interval '1 microsecond', looked.seq)
        order by job.run_at, job.seq
        limit $6::int4
        for no key update skip locked
    ) as job
    where looked.queue = any(array(select queue from open))
    limit $6::int4
),
picked as materialized (
    select id from (
        select id, coalesce(sum(size) over (order by place rows between unbounded preceding and 1 preceding), 0) as before
        from found
    ) as summed
    where before < $7::int4
),
taken as (
    update umbel.job set state = 1, session = $1::uuid, number = $2::int4, delayed = false
    where job.id = any(array(select id from picked))
    returning job.id, job.name, job.queue, job.level, job.envelope,
        job.retries, job.crashes, job.losses, job.marked, job.back, job.doom, job.run_at, job.seq
),
known as materialized (
    select exists (
        select from umbel.session where id = $1::uuid and queue = any($3::text[]) and ended is null
    ) as alive, exists (select from umbel.flow_node where state = 1) as sending,
    case when (select count(*) from found) < $6::int4 then extract(epoch from (
        select min(first.run_at) from unnest($3::text[]) as looked(queue) cross join lateral (
            select job.run_at from umbel.job
            where job.queue = looked.queue and job.state = 0 and job.delayed
            order by job.run_at limit 1
        ) as first
        where looked.queue = any(array(select queue from open))
    ) - coalesce($8::timestamptz, now()))::float8 end as next_due,
    case when (select count(*) from found) < $6::int4 then extract(epoch from (
        select min(first.next) from unnest($3::text[]) as looked(queue) cross join lateral (
            select next from umbel.counter
            where counter.queue = looked.queue and counter.next is not null order by counter.next limit 1
        ) as first
    ) - coalesce($8::timestamptz, now()))::float8 end as release_due
)
select known.alive, known.next_due, coalesce(taken.name, taken.id::text), taken.queue, taken.level::int4, taken.envelope,
    taken.retries, taken.crashes, taken.losses, taken.marked, taken.back, taken.doom, timestamptz_send(taken.run_at), taken.seq,
    known.sending, known.release_due
from known left join taken on true
order by taken.level, taken.run_at, taken.seq
