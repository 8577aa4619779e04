-- send: accept jobs unless their ids are known

-- name: name_queues
-- $1 names; keeps the names of all queues that ever held a job
insert into umbel.queue(name) select name from unnest($1::text[]) as name order by name on conflict (name) do nothing

-- name: lock
-- $1 ids; waits for whoever is ending one of them. The insert that follows has to be a statement of its own: only a later
-- snapshot shows it the record that the one it waited for has written.
select from umbel.job where id = any($1::uuid[]) order by id for key share

-- name: insert
-- per job: $1 id, $2 name (empty: the id itself), $3 queue, $4 level, $5 seconds of delay, $6 eta in unix seconds (0: none),
-- $7 envelope; $8 now or null. Answers queues and for how many jobs somebody is to be woken: one that is ready, or due
-- before all others.
with moment as materialized (select coalesce($8::timestamptz, now()) as now),
given as materialized (
    select given.id, nullif(given.name, '') as name, given.queue, given.level, given.envelope, given.place, moment.now,
        greatest(moment.now, case when given.eta > 0 then to_timestamp(given.eta)
            else moment.now + given.delay * interval '1 second' end) as run_at
    from moment, unnest($1::uuid[], $2::text[], $3::text[], $4::int2[], $5::float8[], $6::float8[], $7::bytea[])
        with ordinality as given(id, name, queue, level, delay, eta, envelope, place)
),
made as (
    insert into umbel.job(id, name, queue, level, run_at, delayed, envelope)
    select given.id, given.name, given.queue, given.level, given.run_at, given.run_at > given.now, given.envelope
    from given
    where not exists (select from umbel.result where result.id = given.id and result.expires > given.now)
    order by given.place
    on conflict (id) do nothing
    returning queue, run_at, delayed
)
select queue, count(*) filter (where not delayed) + (
    coalesce(min(run_at) filter (where delayed) < coalesce((
        select min(job.run_at) from umbel.job where job.queue = made.queue and state = 0 and job.delayed
    ), 'infinity'), false)
)::int
from made group by queue

-- name: one
-- $1 id, $2 name (empty: the id itself), $3 queue, $4 level, $5 seconds of delay, $6 eta in unix seconds (0: none),
-- $7 envelope, $8 now or null, $9 class and $10 topic of the lock of those who wait for it, $11 what one of them is told.
-- A transaction of its own, and a second one after it that wakes; see 0009_send.sql.
call umbel.send($1::uuid, $2::text, $3::text, $4::int2, $5::float8, $6::float8, $7::bytea, $8::timestamptz,
    $9::int4, $10::int4, $11::text)
