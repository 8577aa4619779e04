-- settle: carry out verdicts. Whoever declares a session dead waits for its settles, and a settle that comes later finds it
-- dead; so one statement is enough. A job is only touched if it is held by this session from exactly that receive. It is
-- looked up and locked one by one, not joined: a generic plan would compare each verdict with each job. And "state + 0", so
-- that the look-up is by id: the index of held jobs, which "state" would open, has all jobs of the session under one key.

-- name: end
-- $1 session; per job: $2 id, $3 receive number, $4 record, $5 seconds to keep it; $6 now or null.
-- Answers the places (from 1) of those that were ours.
with alive as materialized (
    select queue from umbel.session where id = $1::uuid and ended is null order by queue for key share
),
ours as materialized (
    select given.place, job.id, given.record, given.ttl
    from unnest($2::uuid[], $3::int4[], $4::bytea[], $5::float8[])
        with ordinality as given(id, number, record, ttl, place)
    cross join lateral (
        select job.id from umbel.job
        where job.id = given.id and job.number = given.number and job.session = $1::uuid and job.state + 0 = 1
            and job.queue = any(array(select queue from alive))
        limit 1 for update
    ) as job
),
gone as (delete from umbel.job where id = any(array(select id from ours))),
kept as (
    insert into umbel.result(id, expires, writer, record)
    select id, coalesce($6::timestamptz, now()) + ttl * interval '1 second', $1::uuid::text, record from ours
    on conflict (id) do update
        set expires = excluded.expires, writer = excluded.writer, record = excluded.record
        where result.expires <= coalesce($6::timestamptz, now())
)
select place::int4 from ours

-- name: settle
-- $1 session; per verdict: $2 id, $3 receive number, $4 kind (see KINDS), $5 record, $6 seconds to keep it, $7 seconds of
-- delay, $8 $9 $10 retries, crashes, losses (negative: as they were), $11 envelope (empty: as it was), $12 task;
-- follow-ups: $13 place of the verdict, $14 id, $15 name, $16 queue, $17 level, $18 delay, $19 eta, $20 envelope;
-- $21 now or null. What is doomed waits neither for its time nor for a worker that knows its task. Answers the places (from
-- 1) of those that were ours, and whether somebody is to be woken for one that shall be parked.
with moment as materialized (select coalesce($21::timestamptz, now()) as now),
alive as materialized (
    select queue from umbel.session where id = $1::uuid and ended is null order by queue for key share
),
ours as materialized (
    select given.*, moment.now, job.doomed
    from moment, unnest($2::uuid[], $3::int4[], $4::int2[], $5::bytea[], $6::float8[], $7::float8[],
        $8::int4[], $9::int4[], $10::int4[], $11::bytea[], $12::text[])
        with ordinality as given(id, number, kind, record, ttl, delay, retries, crashes, losses, envelope, task, place)
    cross join lateral (
        select job.doom is not null as doomed from umbel.job
        where job.id = given.id and job.number = given.number and job.session = $1::uuid and job.state + 0 = 1
            and job.queue = any(array(select queue from alive))
        limit 1 for update
    ) as job
),
gone as (delete from umbel.job where id = any(array(select id from ours where kind = 0))),
moved as (
    update umbel.job set
        state = case when ours.kind = 1 then 2 when ours.kind = 4 and not ours.doomed then 3 else 0 end,
        session = null, number = null, marked = false, back = true,
        run_at = case ours.kind when 1 then ours.now
            when 2 then ours.now + case when ours.doomed then 0 else ours.delay end * interval '1 second' else job.run_at end,
        seq = case ours.kind when 2 then nextval('umbel.job_seq') else job.seq end,
        delayed = ours.kind = 2 and ours.delay > 0 and not ours.doomed,
        retries = case when ours.retries < 0 then job.retries else ours.retries end,
        crashes = case when ours.crashes < 0 then job.crashes else ours.crashes end,
        losses = case when ours.losses < 0 then job.losses else ours.losses end,
        envelope = case when octet_length(ours.envelope) = 0 then job.envelope else ours.envelope end,
        task = case when ours.kind = 4 and not ours.doomed then ours.task end
    from ours where job.id = ours.id and job.id = any(array(select id from ours where kind > 0))
),
kept as (
    insert into umbel.result(id, expires, writer, record)
    select id, now + ttl * interval '1 second', $1::uuid::text, record from ours where kind < 2
    on conflict (id) do update
        set expires = excluded.expires, writer = excluded.writer, record = excluded.record
        where result.expires <= (select now from moment)
),
followed as (
    insert into umbel.job(id, name, queue, level, run_at, delayed, envelope)
    select next.id, nullif(next.name, ''), next.queue, next.level, next.run_at, next.run_at > next.now, next.envelope
    from (
        select follow.*, ours.now, greatest(ours.now, case when follow.eta > 0 then to_timestamp(follow.eta)
            else ours.now + follow.delay * interval '1 second' end) as run_at
        from unnest($13::int4[], $14::uuid[], $15::text[], $16::text[], $17::int2[], $18::float8[], $19::float8[],
            $20::bytea[]) with ordinality as follow(place, id, name, queue, level, delay, eta, envelope, nth)
        join ours on ours.place = follow.place
    ) as next
    where not exists (select from umbel.result where result.id = next.id and result.expires > next.now)
    order by next.nth
    on conflict (id) do nothing
)
select place::int4, kind = 4 and doomed from ours

-- name: mark
-- $1 session, $2 id, $3 receive number; answers a row if it was ours
with alive as materialized (
    select queue from umbel.session where id = $1::uuid and ended is null order by queue for key share
)
update umbel.job set marked = true
where id = $2::uuid and session = $1::uuid and number = $3::int4 and state = 1
    and queue = any(array(select queue from alive))
returning 1

-- name: hurry
-- $1 seconds: how long the client of this transaction may be silent before the server ends it. Until its end nobody can
-- declare the session dead, and whoever wants to waits; that must not be up to a process that is frozen.
select set_config('idle_in_transaction_session_timeout', $1::text, true)
where current_setting('idle_in_transaction_session_timeout')::interval not between interval '1 ms' and $1::text::interval

-- name: stands
-- $1 session, $2 id, $3 receive number; answers a row if the job is held, by what is committed up to now
select 1 from umbel.job
where id = $2::uuid and session = $1::uuid and number = $3::int4 and state + 0 = 1
