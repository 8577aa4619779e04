-- schedules: rows of opaque bytes, each replaced only by whoever saw it as it is

-- name: read
-- $1 revision, $2 now or null; answers the unix time, the number of all rows, and name, revision and value of each row
-- that was written after that revision; one row without a name if there is none
select extract(epoch from coalesce($2::timestamptz, clock_timestamp()))::float8,
    (select count(*)::int4 from umbel.schedule), schedule.name, schedule.revision, schedule.value
from (values (1)) as one left join umbel.schedule on schedule.revision > $1::int8

-- name: lock
-- waits for whoever writes, so that revisions become visible in their order; answers nothing
insert into umbel.schedule_clock(revision) values (1)
on conflict (one) do update set revision = schedule_clock.revision + 1

-- name: write
-- per change: $1 name, $2 revision (0: there must be none), $3 value (empty: remove). Per job: $4 the place of its change
-- from 1 on, $5 id, $6 name (empty: the id itself), $7 queue, $8 level, $9 seconds of delay, $10 eta in unix seconds (0:
-- none), $11 envelope. $12 now or null. Answers (place, '', 0) per change that was carried out, and (0, queue, how many to
-- wake). A statement of its own after the lock: only so does it see what the one before has written.
with moment as materialized (select coalesce($12::timestamptz, now()) as now),
clock as materialized (select revision from umbel.schedule_clock),
given as materialized (
    select name, revision, value, place
    from unnest($1::text[], $2::int8[], $3::bytea[]) with ordinality as given(name, revision, value, place)
),
removed as (
    delete from umbel.schedule using given
    where schedule.name = given.name and schedule.revision = given.revision and given.value = ''
    returning given.place
),
changed as (
    update umbel.schedule set value = given.value, revision = clock.revision from given, clock
    where schedule.name = given.name and schedule.revision = given.revision and given.value <> ''
    returning given.place
),
added as (
    insert into umbel.schedule(name, revision, value)
    select given.name, clock.revision, given.value from given, clock
    where given.revision = 0 and given.value <> ''
    on conflict (name) do nothing
    returning name
),
won as materialized (
    select place from removed union all select place from changed
    union all select given.place from added join given on given.name = added.name
),
made as (
    insert into umbel.job(id, name, queue, level, run_at, delayed, envelope)
    select job.id, nullif(job.name, ''), job.queue, job.level, due.at, due.at > moment.now, job.envelope
    from moment,
        unnest($4::int8[], $5::uuid[], $6::text[], $7::text[], $8::int2[], $9::float8[], $10::float8[], $11::bytea[])
            as job(place, id, name, queue, level, delay, eta, envelope)
        cross join lateral (
            select greatest(moment.now, case when job.eta > 0 then to_timestamp(job.eta)
                else moment.now + job.delay * interval '1 second' end) as at
        ) as due
    where job.place in (select place from won)
        and not exists (select from umbel.result where result.id = job.id and result.expires > moment.now)
    on conflict (id) do nothing
    returning queue
)
select place, '', 0 from won
union all select 0, queue, count(*)::int from made group by queue
