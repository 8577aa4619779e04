-- jobs: single jobs are doomed, shown, moved. Who dooms many waits for nobody: he might wait for who waits for him.

-- name: lease
-- $1 session, new or of this very call; per job: $2 id, $3 queue (empty: any); $4 lease in seconds, $5 now or null. Dooms
-- them, and hands those that wait to the session, unless it is over. Answers id, state (see STATES) and queue of each that
-- was found and that nobody is changing at the moment; and then, for each that was handed over, id, null, queue, and what
-- makes a delivery: were the two joined, a generic plan would compare each with each. A repeat finds what the first try has
-- handed out.
with moment as materialized (select coalesce($5::timestamptz, now()) as now),
found as materialized (
    select job.id, job.queue, case when job.state = 0 and job.run_at > moment.now then 5 else job.state end as state,
        job.state in (0, 3, 4) or job.state = 1 and job.session = $1::uuid as free
    from moment, unnest($2::uuid[], $3::text[]) as given(id, queue)
    cross join lateral (
        select job.id, job.queue, job.run_at, job.state, job.session from umbel.job
        where job.id = given.id and given.queue in ('', job.queue)
        limit 1 for no key update skip locked
    ) as job
),
opened as (
    insert into umbel.session(id, queue, received, until, info)
    select $1::uuid, known.queue, 1, moment.now + $4::float8 * interval '1 second', ''::bytea
    from moment, (select distinct queue from found where free) as known order by known.queue
    on conflict (id, queue) do update set received = 1 where session.ended is null
    returning queue
),
doomed as (
    update umbel.job set doom = 'revoked'
    where id = any(array(select id from found where not free and state <> 2)) and doom is null
),
taken as (
    update umbel.job set
        doom = coalesce(doom, 'revoked'), state = 1, session = $1::uuid, number = 1, delayed = false, task = null,
        run_at = least(run_at, coalesce($5::timestamptz, now()))
    where id = any(array(select id from found where free)) and queue = any(array(select queue from opened))
    returning id, queue, coalesce(name, id::text) as name, level, envelope, retries, crashes, losses, marked, back, doom
)
select id::text, state::int4, queue, null, null, null, null, null, null, null, null, null, null from found
union all
select id::text, null, queue, name, queue, level::int4, envelope, retries, crashes, losses, marked, back, doom from taken

-- name: look
-- $1 ids, $2 queues (empty: any), $3 now or null; answers each id, whether the job has not ended, and whether it has. Looked up
-- one by one ("limit 1"), for `exists` may be planned so that it reads all records.
select given.id::text, (
    select true from umbel.job where job.id = given.id and given.queue in ('', job.queue) limit 1
) is true, (
    select true from umbel.result where result.id = given.id and result.expires > coalesce($3::timestamptz, now()) limit 1
) is true
from unnest($1::uuid[], $2::text[]) as given(id, queue)

-- name: wait
-- $1 id; waits for whoever is changing that job. What follows has to be a statement of its own: only a later snapshot shows
-- it what he has written.
select from umbel.job where id = $1::uuid for no key update

-- name: purge
-- $1 session, as in `lease`; $2 queue, $3 how many jobs, $4 lease in seconds, $5 now or null. Dooms jobs that wait and hands
-- them to the session; answers what makes a delivery, or one row of nulls if the session is over.
with moment as materialized (select coalesce($5::timestamptz, now()) as now),
ours as materialized (
    select id from umbel.job where session = $1::uuid and state = 1 and queue = $2::text limit $3::int4
),
waiting as materialized (
    select id from umbel.job where queue = $2::text and state = 0
    order by level, run_at, seq limit $3::int4 - (select count(*) from ours)
    for no key update skip locked
),
parked as materialized (
    select id from umbel.job where queue = $2::text and state = 3
    order by task, run_at, seq limit $3::int4 - (select count(*) from ours) - (select count(*) from waiting)
    for no key update skip locked
),
held as materialized (
    select id from umbel.job where queue = $2::text and state = 4
    order by counter, turn, level, seq limit $3::int4 - (select count(*) from ours) - (select count(*) from waiting)
        - (select count(*) from parked)
    for no key update skip locked
),
found as materialized (
    select id from ours union all select id from waiting union all select id from parked union all select id from held
),
opened as (
    insert into umbel.session(id, queue, received, until, info)
    select $1::uuid, $2::text, 1, moment.now + $4::float8 * interval '1 second', ''::bytea
    from moment where exists (select from found)
    on conflict (id, queue) do update set received = 1 where session.ended is null
    returning queue
),
taken as (
    update umbel.job set
        doom = coalesce(doom, 'revoked'), state = 1, session = $1::uuid, number = 1, delayed = false, task = null,
        run_at = least(run_at, coalesce($5::timestamptz, now()))
    where id = any(array(select id from found)) and queue = any(array(select queue from opened))
    returning coalesce(name, id::text) as name, queue, level::int4, envelope, retries, crashes, losses, marked, back, doom
)
select * from taken
union all
select null, null, null, null, null, null, null, null, null, null
where exists (select from found) and not exists (select from opened)

-- name: close
-- $1 session; it is over. "infinity" tells that it has left nothing to return, so that no reclaim looks at it again. It waits
-- for whoever leases to it; what he has written is seen by the next statement, not by this one.
update umbel.session set ended = 'infinity' where id = $1::uuid and queue = any(array(
    select queue from umbel.session where id = $1::uuid order by queue for update
))

-- name: back
-- $1 session; what it still holds is ready again. Answers queues, once a job.
update umbel.job set state = 0, session = null, number = null, marked = false, back = true
where session = $1::uuid and state = 1
returning queue

-- name: ready
-- $1 queue, $2 how many, $3 now or null; behind $4 level, $5 microseconds since 2000, $6 number. Answers name, level,
-- envelope, cursor, counts, doom, note; unix time or null, session, task.
select coalesce(job.name, job.id::text), job.level::int4, job.envelope,
    concat_ws(' ', job.level, (extract(epoch from job.run_at - timestamptz '2000-01-01 00:00Z') * 1000000)::int8, job.seq),
    job.retries, job.crashes, job.losses, job.marked,
    coalesce(job.doom, ''), coalesce(job.note, ''), null::float8, '', ''
from generate_series(greatest($4::int4, 0), 9) as step(level) cross join lateral (
    select * from umbel.job
    where job.queue = $1::text and job.level = step.level::int2 and job.state = 0
        and job.run_at <= coalesce($3::timestamptz, now())
        and (job.run_at, job.seq) > (case when step.level = $4::int4
            then timestamptz '2000-01-01 00:00Z' + $5::int8 * interval '1 microsecond' else '-infinity' end, $6::int8)
    order by job.run_at, job.seq limit $2::int4
) as job
limit $2::int4

-- name: delayed
-- $1 queue, $2 how many, $3 now or null; behind $4 microseconds since 2000, $5 number. Answers the same. By the index of those
-- that wait, for in that of delayed ones the many that are due at one instant have no order. One bound, not two: the index is
-- entered by either.
select coalesce(job.name, job.id::text), job.level::int4, job.envelope,
    concat_ws(' ', (extract(epoch from job.run_at - timestamptz '2000-01-01 00:00Z') * 1000000)::int8, job.seq),
    job.retries, job.crashes, job.losses, job.marked,
    coalesce(job.doom, ''), coalesce(job.note, ''), extract(epoch from job.run_at)::float8, '', ''
from (
    select greatest(moment.now, asked.at) as at, case when asked.at > moment.now then $5::int8 else 9223372036854775807 end as seq
    from (select coalesce($3::timestamptz, now()) as now) as moment,
        (select timestamptz '2000-01-01 00:00Z' + $4::int8 * interval '1 microsecond' as at) as asked
) as bound
cross join generate_series(0, 9) as step(level) cross join lateral (
    select * from umbel.job
    where job.queue = $1::text and job.level = step.level::int2 and job.state = 0
        and (job.run_at, job.seq) > (bound.at, bound.seq)
    order by job.run_at, job.seq limit $2::int4
) as job
order by job.run_at, job.seq limit $2::int4

-- name: running
-- $1 queue, $2 how many; behind $3 microseconds since 2000, $4 number. Answers the same.
select coalesce(job.name, job.id::text), job.level::int4, job.envelope,
    concat_ws(' ', (extract(epoch from job.run_at - timestamptz '2000-01-01 00:00Z') * 1000000)::int8, job.seq),
    job.retries, job.crashes, job.losses, job.marked,
    coalesce(job.doom, ''), coalesce(job.note, ''), null::float8, replace(session.id::text, '-', ''), ''
from umbel.session join umbel.job on job.session = session.id and job.queue = session.queue
where session.queue = $1::text and job.state = 1
    and (job.run_at, job.seq) > (timestamptz '2000-01-01 00:00Z' + $3::int8 * interval '1 microsecond', $4::int8)
order by job.run_at, job.seq limit $2::int4

-- name: held
-- $1 queue, $2 how many; behind $3 limit, $4 turn, $5 level, $6 number. Answers the same, one turn of
-- one limit after the other.
select coalesce(name, id::text), level::int4, envelope,
    concat_ws(' ', counter, turn, level, seq),
    retries, crashes, losses, marked, coalesce(doom, ''), coalesce(note, ''), null::float8, '', ''
from umbel.job
where queue = $1::text and state = 4 and (counter, turn, level, seq) > ($3::uuid, $4::uuid, $5::int2, $6::int8)
order by counter, turn, level, seq limit $2::int4

-- name: parked
-- $1 queue, $2 how many; behind $3 microseconds since 2000, $4 number, $5 task. Answers the same.
select coalesce(name, id::text), level::int4, envelope,
    concat_ws(' ', (extract(epoch from run_at - timestamptz '2000-01-01 00:00Z') * 1000000)::int8, seq, task),
    retries, crashes, losses, marked, coalesce(doom, ''), coalesce(note, ''), null::float8, '', task::text
from umbel.job
where queue = $1::text and state = 3
    and (task, run_at, seq) > ($5::text, timestamptz '2000-01-01 00:00Z' + $3::int8 * interval '1 microsecond', $4::int8)
order by task, run_at, seq limit $2::int4

-- name: dead
-- $1 queue, $2 how many; behind $3 microseconds since 2000, $4 id. Answers the same.
select coalesce(name, id::text), level::int4, envelope,
    concat_ws(' ', (extract(epoch from run_at - timestamptz '2000-01-01 00:00Z') * 1000000)::int8, id),
    retries, crashes, losses, marked, coalesce(doom, ''), coalesce(note, ''), extract(epoch from run_at)::float8, '', ''
from umbel.job
where queue = $1::text and state = 2
    and run_at >= timestamptz '2000-01-01 00:00Z' + $3::int8 * interval '1 microsecond'
    and (run_at, id) > (timestamptz '2000-01-01 00:00Z' + $3::int8 * interval '1 microsecond', $4::uuid)
order by run_at, id limit $2::int4

-- name: revive
-- $1 queue, $2 ids, $3 now or null; dead letters become ready in that order, and their records go. Answers their ids.
with locked as materialized (
    select id from umbel.job where id = any($2::uuid[]) and queue = $1::text and state + 0 = 2 order by id for no key update
),
gone as (delete from umbel.result where id = any(array(select id from locked))),
numbered as materialized (
    select id, nextval('umbel.job_seq') as seq from (
        select id from unnest($2::uuid[]) with ordinality as given(id, place) where id in (select id from locked)
        group by id order by min(place)
    ) as sorted
)
update umbel.job set
    state = 0, run_at = coalesce($3::timestamptz, now()), seq = numbered.seq, retries = 0, crashes = 0, losses = 0,
    doom = null, note = null
from numbered where job.id = numbered.id and job.id = any(array(select id from numbered))
returning job.id::text

-- name: discard
-- $1 queue, $2 ids; dead letters that go for ever. Answers their ids.
delete from umbel.job where id = any(array(
    select id from umbel.job where id = any($2::uuid[]) and queue = $1::text and state + 0 = 2 order by id for update
))
returning id::text

-- name: pause
-- $1 queue; from here on a receive passes it by
insert into umbel.pause(queue) values ($1::text) on conflict do nothing

-- name: resume
-- $1 queue
delete from umbel.pause where queue = $1::text

-- name: paused
-- $1 queues; answers which of them are paused
select queue::text from umbel.pause where queue = any($1::text[])

-- name: note
-- $1 session; per job: $2 id, $3 receive number, $4 note. Answers the places (from 1) of those that were ours; the look is
-- that of a settle, and the note need not outlive a crash of the server.
with off as materialized (select set_config('synchronous_commit', 'off', true)),
alive as materialized (
    select session.queue from off, umbel.session
    where session.id = $1::uuid and session.ended is null order by session.queue for key share of session
),
ours as materialized (
    select given.place, given.note, job.id
    from unnest($2::uuid[], $3::int4[], $4::bytea[]) with ordinality as given(id, number, note, place)
    cross join lateral (
        select job.id from umbel.job
        where job.id = given.id and job.number = given.number and job.session = $1::uuid and job.state + 0 = 1
            and job.queue = any(array(select queue from alive))
        limit 1 for no key update
    ) as job
),
noted as (
    update umbel.job set note = ours.note from ours
    where job.id = ours.id and job.id = any(array(select id from ours))
)
select place::int4 from ours

-- name: amend
-- $1 session; per job: $2 id, $3 receive number, $4 envelope. Answers the places (from 1) of those that were ours; the look
-- is that of a settle.
with alive as materialized (
    select session.queue from umbel.session
    where session.id = $1::uuid and session.ended is null order by session.queue for key share of session
),
ours as materialized (
    select given.place, given.envelope, job.id
    from unnest($2::uuid[], $3::int4[], $4::bytea[]) with ordinality as given(id, number, envelope, place)
    cross join lateral (
        select job.id from umbel.job
        where job.id = given.id and job.number = given.number and job.session = $1::uuid and job.state + 0 = 1
            and job.queue = any(array(select queue from alive))
        limit 1 for no key update
    ) as job
),
amended as (
    update umbel.job set envelope = ours.envelope from ours
    where job.id = ours.id and job.id = any(array(select id from ours))
)
select place::int4 from ours
