-- enter: may these deliveries start? What they stand under is locked before, see limits.sql.

-- name: enter
-- $1 session; per entry: $2 id, $3 receive number, $4 limit (zeros: none), $5 turn, $6 unique key (zeros: none), $7 whether it
-- keeps others from running, $8 seconds to keep it (0: until it has ended), $9 whether the delivery tells that it is doomed;
-- $10 now or null; $11 of each, whether it has a turn of its own. Answers places (from 1) of those that were ours, or are held by
-- now, with "run", "held" or "taken:" and the id that has the key; and place 0 with each limit that is not given, but has room
-- now for others, since a job was out or in under it: it is due at once.
-- What is held is behind all that is held of its limit; the statement that follows releases it if it can. Two that may be in
-- each other's way by a unique key are asked for by two statements: the second sees whether the first runs and has the key.
with moment as materialized (select coalesce($10::timestamptz, now()) as now),
alive as materialized (
    select queue from umbel.session where id = $1::uuid and ended is null order by queue for key share
),
ours as materialized (
    select given.*, moment.now, job.doomed, job.retries, job.shown
    from moment, unnest($2::uuid[], $3::int4[], $4::uuid[], $5::uuid[], $6::uuid[], $7::boolean[], $8::float8[], $9::boolean[],
        $11::boolean[]) with ordinality as given(id, number, counter, turn, key, alone, seconds, told, solo, place)
    cross join lateral (
        select job.doom is not null as doomed, job.retries, coalesce(job.name, job.id::text) as shown from umbel.job
        where job.id = given.id and job.number = given.number and job.session = $1::uuid and job.state + 0 = 1
            and job.queue = any(array(select queue from alive))
        limit 1 for update
    ) as job
),
known as materialized (
    select ours.*, pass.counter as passed, pass.turn as passing, pass.entered,
        case when pass.entered then pass.retries >= ours.retries else pass.counter = ours.counter
            or ours.counter = '00000000-0000-0000-0000-000000000000' end as valid, rival.name as rival
    from ours
    left join lateral (select * from umbel.pass where pass.job = ours.id limit 1) as pass on true
    left join lateral (
        select holder.name from umbel.holder
        where ours.alone and holder.id = ours.key and holder.job <> ours.id and (holder.started or ours.seconds = 0) and (
            holder.until > ours.now
            or holder.until is null and (select true from umbel.job where job.id = holder.job and job.state + 0 <> 2 limit 1)
        )
        limit 1
    ) as rival on true
),
asking as materialized (
    select place, counter, row_number() over (partition by counter order by place) as nth from known
    where valid is not true and counter <> '00000000-0000-0000-0000-000000000000'
        and rival is null and not told
),
spent as materialized (
    select place, passed as counter, passing as turn, (not entered)::int4 as released, entered::int4 as entered from known
    where valid is false and rival is null and not told
),
room as materialized (
    select counter.id, pace.every, since.base,
        case when exists (
            select from umbel.job where job.queue = counter.queue and job.counter = counter.id and job.state = 4
        ) then 0 else umbel.room(moment.now, since.base, pace.every, pace.burst, pace.concurrency, counter.released,
            counter.entered - (select count(*) from spent where spent.counter = counter.id and spent.entered = 1)::int4,
            1000000) end as free
    from moment cross join umbel.counter
    cross join lateral (
        select coalesce(max(adjusted.every), counter.every) as every, coalesce(max(adjusted.burst), counter.burst) as burst,
            coalesce(max(adjusted.concurrency), counter.concurrency) as concurrency
        from umbel.adjustment as adjusted where adjusted.queue = counter.queue and adjusted.task = counter.task
    ) as pace
    cross join lateral (select umbel.base(moment.now, counter.due, false, pace.every, pace.burst) as base) as since
    where counter.id = any(array(select counter from asking))
),
judged as materialized (
    select known.*, asking.place is not null as asked, case when told then 'told' when rival is not null then 'taken'
        when known.counter = '00000000-0000-0000-0000-000000000000' or valid or asking.nth <= room.free then 'run'
        else 'held' end as verdict
    from known left join asking on asking.place = known.place left join room on room.id = asking.counter
),
entered as (
    update umbel.pass set entered = true, retries = judged.retries
    from judged where pass.job = judged.id and pass.job = any($2::uuid[]) and judged.verdict = 'run' and judged.valid
),
asked as (
    insert into umbel.pass(job, counter, turn, retries, entered)
    select id, counter, turn, retries, true from judged where verdict = 'run' and asked
    on conflict (job) do update
        set counter = excluded.counter, turn = excluded.turn, retries = excluded.retries, entered = true
),
lost as (
    delete from umbel.pass where job = any(array(select id from judged where verdict = 'held' and valid is false))
),
counted as (
    update umbel.counter set
        released = counter.released + sums.released, entered = counter.entered + sums.entered,
        due = coalesce((
            select room.base + sums.started * room.every * interval '1 second' from room
            where room.id = counter.id and sums.started > 0 and room.every > 0
        ), counter.due),
        next = case when counter.id = any($4::uuid[]) then counter.next else moment.now end
    from moment, (
        select counter, sum(released)::int4 as released, sum(entered)::int4 as entered, sum(started) as started from (
            select passed as counter, -1 as released, 1 as entered, 0 as started from judged
            where verdict = 'run' and valid and not judged.entered
            union all select counter, 0, 1, 1 from judged where verdict = 'run' and asked
            union all select counter, -released, -entered, 0 from spent
        ) as changes group by counter
    ) as sums
    where counter.id = sums.counter and counter.id = any(array(select counter from judged union all select passed from judged))
    returning counter.id
),
held as (
    update umbel.job set
        state = case when judged.doomed then 0 else 4 end, session = null, number = null, marked = false, back = true,
        run_at = judged.now, seq = nextval('umbel.job_seq'), counter = judged.counter, turn = judged.turn
    from judged where job.id = judged.id and job.id = any($2::uuid[]) and judged.verdict = 'held'
),
turned as (
    insert into umbel.turn(id, counter, place, solo, free)
    select turn, counter, nextval('umbel.job_seq'), solo, true from (
        select turn, counter, solo from judged where verdict = 'held' and not doomed
        group by turn, counter, solo order by min(place)
    ) as waiting
    on conflict do nothing
),
inside as materialized (
    select passing as turn, count(*)::int4 as number from judged
    where not entered and (verdict = 'run' and valid or place in (select place from spent))
    group by passing
),
freed as (
    update umbel.turn set
        outside = greatest(0, outside - inside.number), free = outside <= inside.number, place = nextval('umbel.job_seq')
    from inside where turn.id = inside.turn and turn.id = any(array(select turn from inside)) and not turn.free
),
started as (
    update umbel.holder set job = judged.id, name = judged.shown, started = true, until = case
        when judged.seconds = 0 then null when holder.job = judged.id and holder.until > judged.now then holder.until
        else judged.now + judged.seconds * interval '1 second' end
    from judged where holder.id = judged.key and holder.id = any($6::uuid[]) and judged.verdict = 'run' and judged.alone
),
yielded as (
    delete from umbel.holder where (id, job) in (select key, id from judged where verdict = 'run' and not alone)
        and id = any($6::uuid[])
)
select place::int4, case verdict when 'told' then 'run' when 'taken' then 'taken:' || rival else verdict end from judged
union all
select given.place::int4, 'held' from unnest($2::uuid[]) with ordinality as given(id, place)
where given.place not in (select place from ours)
    and (select true from umbel.job where job.id = given.id and job.state + 0 = 4 limit 1)
union all
select 0, id::text from counted where id <> all($4::uuid[])
