-- release: make ready what limits hold, as far as they allow; and forget what is over

-- name: release
-- $1 limits, which this transaction has locked; $2 how many jobs of each at most, $3 now or null; $4 jobs of which some entered
-- in this transaction. A turn of whose jobs none is held any more goes. Answers ids of those that were released with their
-- queues, and (null, queue) once for each limit that has to be looked after at a time.
--
-- One job of each free turn, in the order of their places, and more only of those that have no turn; then (ahead) of turns whose
-- jobs have just entered, until twice as many are out, or 16 jobs of the limit. One more is looked for than may be released:
-- so it is known whether there is something to wait for. Only what can be released at some time for certain has a time: what
-- waits for a job to end is released by whoever hears of that.
with moment as materialized (select coalesce($3::timestamptz, now()) as now),
room as materialized (
    select counter.id, counter.queue, pace.every, pace.burst, since.base, counter.next, counter.due, counter.waiting,
        counter.released,
        pace.concurrency > 0 as bounded, pace.concurrency - counter.entered - counter.released as places,
        greatest(pace.burst, case when pace.every > 0 then ceil(0.1 / pace.every) end) - counter.released as ahead,
        umbel.room(moment.now, since.base, pace.every, pace.burst, pace.concurrency, counter.released, counter.entered, $2::int4)
            as free
    from moment cross join umbel.counter
    cross join lateral (
        select coalesce(max(adjusted.every), counter.every) as every, coalesce(max(adjusted.burst), counter.burst) as burst,
            coalesce(max(adjusted.concurrency), counter.concurrency) as concurrency
        from umbel.adjustment as adjusted where adjusted.queue = counter.queue and adjusted.task = counter.task
    ) as pace
    cross join lateral (select umbel.base(moment.now, counter.due, counter.waiting, pace.every, pace.burst) as base) as since
    where counter.id = any($1::uuid[])
),
started as materialized (
    select counter, turn, count(*) as number from umbel.pass where job = any($4::uuid[]) and entered group by counter, turn
),
turns as materialized (
    select room.id as counter, room.queue, room.free, room.released, turn.id as turn, turn.place, turn.solo, true as is_free,
        case when turn.solo then least(16, coalesce(2 * started.number, 1)) else room.free + 1 end as most
    from room cross join lateral (
        select turn.id, turn.place, turn.solo from umbel.turn where turn.counter = room.id and turn.free
        order by turn.place limit room.free + 1
    ) as turn
    left join started on started.counter = room.id and started.turn = turn.id
    union all
    select room.id, room.queue, room.free, room.released, turn.id, turn.place, true, false, least(16, 2 * started.number) - turn.outside
    from room join started on started.counter = room.id join umbel.turn on turn.id = started.turn
    where not turn.free and turn.outside < least(16, 2 * started.number)
),
found as materialized (
    select turns.*, job.id, row_number() over (partition by turns.counter, turns.turn order by job.level, job.seq) as nth
    from turns cross join lateral (
        select job.id, job.level, job.seq from umbel.job
        where job.queue = turns.queue and job.counter = turns.counter and job.turn = turns.turn and job.state = 4
        order by job.level, job.seq
        limit turns.most
        for no key update skip locked
    ) as job
),
ranked as materialized (
    select said.*, row_number() over (partition by counter order by ahead, nth, place) as rank
    from (select found.*, solo and (nth > 1 or not is_free) as ahead from found) as said
),
chosen as materialized (
    select sorted.*, nextval('umbel.job_seq') as seq
    from (select * from ranked where rank <= free and (not ahead or released + rank <= 16) order by rank) as sorted
),
moved as (
    update umbel.job set state = 0, run_at = moment.now, seq = chosen.seq, delayed = false
    from moment, chosen where job.id = chosen.id and job.id = any(array(select id from chosen))
),
passed as (
    insert into umbel.pass(job, counter, turn, entered) select id, counter, turn, false from chosen
    on conflict (job) do nothing
    returning counter, turn
),
turned as (
    update umbel.turn set
        place = last.seq, free = not turn.solo or turn.outside + last.number = 0,
        outside = case when turn.solo then turn.outside + last.number else 0 end
    from (
        select turn, max(seq) as seq, (select count(*)::int4 from passed where passed.turn = chosen.turn) as number
        from chosen group by turn
    ) as last
    where turn.id = last.turn and turn.id = any(array(select turn from chosen))
),
empty as materialized (
    select counter, turn from turns
    where is_free and turn not in (select turn from found) and (
        select true from umbel.job
        where job.queue = turns.queue and job.counter = turns.counter and job.turn = turns.turn and job.state = 4 limit 1
    ) is null
),
gone as (
    delete from umbel.turn where id = any(array(select turn from empty))
),
known as materialized (
    select room.*, sums.started, sums.more or sums.empty and sums.started < room.free as more, case
        when not (sums.more or sums.empty and sums.started < room.free) then null
        when room.bounded and room.places <= sums.started or room.every > 0 and room.ahead <= sums.started then null
        when sums.started < room.free or room.every = 0 then (select now from moment)
        else room.base + sums.started * room.every * interval '1 second'
    end as then, case when room.every > 0 and (sums.started > 0 or room.due > room.base)
        then room.base + sums.started * room.every * interval '1 second' else room.due end as later
    from room cross join lateral (
        select (select count(*)::int4 from chosen where chosen.counter = room.id) as started,
            exists (select from ranked where ranked.counter = room.id and ranked.rank > ranked.free and not ahead) as more,
            exists (select from empty where empty.counter = room.id) as empty
    ) as sums
),
counted as (
    update umbel.counter set
        next = known.then, released = counter.released + (select count(*)::int4 from passed where passed.counter = counter.id),
        due = known.later, waiting = known.more
    from known
    where counter.id = known.id and counter.id = any($1::uuid[])
        and (known.started, known.next, known.due, known.waiting) is distinct from (0, known.then, known.later, known.more)
)
select chosen.id::text, chosen.queue::text from chosen
union all
select null, known.queue::text from known where known.then is not null and known.then is distinct from known.next

-- name: forget
-- $1 limits, which this transaction has locked; $2 jobs, $3 now or null. Those that are neither ready nor running give back
-- their places. Answers how many.
with moment as materialized (select coalesce($3::timestamptz, now()) as now),
over as (
    delete from umbel.pass
    where job = any($2::uuid[]) and counter = any($1::uuid[]) and (
        select true from moment, umbel.job
        where job.id = pass.job and (job.state + 0 = 1 or job.state + 0 = 0 and job.run_at <= moment.now) limit 1
    ) is null
    returning counter, turn, entered
),
counted as (
    update umbel.counter set released = counter.released - sums.released, entered = counter.entered - sums.entered
    from (
        select counter, count(*) filter (where not entered) as released, count(*) filter (where entered) as entered
        from over group by counter
    ) as sums
    where counter.id = sums.counter and counter.id = any($1::uuid[])
),
gone as materialized (select turn, count(*)::int4 as number from over where not entered group by turn),
freed as (
    update umbel.turn set
        outside = greatest(0, outside - gone.number), free = outside <= gone.number, place = nextval('umbel.job_seq')
    from gone where turn.id = gone.turn and turn.id = any(array(select turn from gone)) and not turn.free
)
select count(*)::int4 from over
