-- admit: accept jobs that stand under limits, unless their ids are known or another job has their key. What they stand under
-- is locked before, see limits.sql; each statement sees what those who had it before have written.

-- name: admit
-- all of one queue; per job: $1 id, $2 name (empty: the id itself), $3 queue, $4 level, $5 seconds of delay, $6 eta in unix
-- seconds (0: none), $7 envelope, $8 limit (zeros: none), $9 turn, $10 unique key (zeros: none), $11 seconds to keep it (0: as
-- long as its scope says). $12 how many jobs the queue may hold (0: any number), $13 now or null; $14 of each, whether it has a
-- turn of its own. A job that is not delayed is
-- held: what comes next releases it if it can. Answers places (from 1) with the id that stands; place 0 with for how many
-- somebody is to be woken; or -1 and how many it has: it is full, and none was accepted.
with moment as materialized (select coalesce($13::timestamptz, now()) as now),
given as materialized (
    select given.*, coalesce(nullif(given.name, ''), given.id::text) as shown, moment.now,
        greatest(moment.now, case when given.eta > 0 then to_timestamp(given.eta)
            else moment.now + given.delay * interval '1 second' end) as run_at,
        row_number() over (partition by given.id order by given.place) = 1 as first
    from moment, unnest($1::uuid[], $2::text[], $3::text[], $4::int2[], $5::float8[], $6::float8[], $7::bytea[], $8::uuid[],
        $9::uuid[], $10::uuid[], $11::float8[], $14::boolean[])
        with ordinality as given(id, name, queue, level, delay, eta, envelope, counter, turn, key, seconds, solo, place)
),
fresh as materialized (
    select given.*, row_number() over (partition by key order by place) as nth,
        first_value(shown) over (partition by key order by place) as winner
    from given
    where first
        and (select true from umbel.job where job.id = given.id limit 1) is null
        and (select true from umbel.result where result.id = given.id and result.expires > given.now limit 1) is null
),
judged as materialized (
    select fresh.*, kept.name as keeper,
        key = '00000000-0000-0000-0000-000000000000' or kept.name is null and nth = 1 as accepted
    from fresh left join lateral (
        select holder.name from umbel.holder
        where holder.id = fresh.key and holder.job <> fresh.id and (holder.until > fresh.now or holder.until is null and (
            select true from umbel.job where job.id = holder.job and job.state + 0 <> 2 limit 1
        ))
        limit 1
    ) as kept on true
),
space as materialized (
    select there, there is null or there + (select count(*) from judged where accepted) <= $12::int4 as fits
    from (select case when $12::int4 > 0 and exists (select from judged where accepted) then (
        select count(*) from (
            (select from umbel.job where queue = ($3::text[])[1] and state = 0 limit $12::int4)
            union all (select from umbel.job where queue = ($3::text[])[1] and state = 3 limit $12::int4)
            union all (select from umbel.job where queue = ($3::text[])[1] and state = 4 limit $12::int4)
            union all (
                select from umbel.session join umbel.job on job.session = session.id and job.queue = session.queue
                where session.queue = ($3::text[])[1] and job.state = 1 limit $12::int4
            )
        ) as those
    ) end as there) as counted
),
made as (
    insert into umbel.job(id, name, queue, level, run_at, delayed, state, counter, turn, envelope)
    select id, nullif(name, ''), queue, level, run_at, run_at > now,
        case when counter <> '00000000-0000-0000-0000-000000000000' and run_at <= now then 4 else 0 end,
        nullif(counter, '00000000-0000-0000-0000-000000000000'), turn, envelope
    from judged
    where accepted and (select fits from space)
    order by place
    on conflict (id) do nothing
    returning run_at, delayed, state, turn
),
turned as (
    insert into umbel.turn(id, counter, place, solo, free)
    select turn, counter, nextval('umbel.job_seq'), solo, true from (
        select turn, counter, solo from judged where turn = any(array(select turn from made where state = 4))
        group by turn, counter, solo order by min(place)
    ) as waiting
    on conflict do nothing
),
taken as (
    update umbel.holder set job = judged.id, name = judged.shown, started = false,
        until = case when judged.seconds > 0 then judged.now + judged.seconds * interval '1 second' end
    from judged
    where judged.key <> '00000000-0000-0000-0000-000000000000'
        and holder.id = judged.key and holder.id = any($10::uuid[]) and judged.accepted and (select fits from space)
)
select -1, null, there::int4 from space where not fits
union all
select given.place::int4, case when judged.accepted is false then coalesce(judged.keeper, judged.winner) else given.shown end, null
from given left join judged on judged.id = given.id
union all
select 0, null, (count(*) filter (where state = 0 and not delayed) + (
    coalesce(min(run_at) filter (where delayed) < coalesce((
        select min(job.run_at) from umbel.job where job.queue = ($3::text[])[1] and state = 0 and job.delayed
    ), 'infinity'), false)
)::int)::int4 from made
