-- 0005 limits: how many jobs of a kind run at once and how often one starts, whose turn it is, and keys of one job at a time
--
-- job            state 4: held by its limit; its seq is its place in its level, whatever the clock said
--   counter, turn  what it is held by; they stay when it is released, and mean nothing then
-- counter        one row per limit that somebody uses; id is a UUID made of queue, task and key. Whoever changes anything of a
--                limit holds its row first, and of several rows in the order of their ids
--   concurrency, every, burst   what its jobs say that it allows; every: seconds between two starts. Zero: any
--   due          when the next start is, or was, due
--   next         when it can release the next of those that it holds; null: nobody waits for a time
--   waiting      it holds some
--   released, entered   how many of its jobs are out and in: its rows in pass
-- adjustment     what all limits of a task allow, whatever its jobs say
-- turn           one row per turn that has a job held or out; id is a UUID made of its limit and its name
--   solo         one of its jobs is out at a time; false: of all jobs that have no turn
--   place        the order in which turns are served
--   free         none of its jobs is out
-- pass           one row per job that was released (out) or has entered (in), as long as it is ready or running
--   retries      how often it was retried when it entered
-- holder         one row per unique key that a job has, or had: who cleans up looks for himself
--   job, name    the job that has it, as a UUID and by its id
--   started      that job has started
--   until        until when; null: as long as the job has not ended; -infinity: nobody has it
--
-- Who uses these tables at this moment holds this change up, and this change all others: rather than for ever, for 3 s a try.
set local lock_timeout = '3s';
alter table umbel.job add column counter uuid, add column turn uuid;
create index job_limited on umbel.job(queue, counter, turn, level, seq) where state = 4;
set local lock_timeout = 0;

create table umbel.counter(
    id uuid primary key,
    next timestamptz,
    due timestamptz not null default '-infinity',
    every double precision not null,
    concurrency integer not null,
    burst integer not null,
    released integer not null default 0,
    entered integer not null default 0,
    waiting boolean not null default false,
    queue text collate "C" not null,
    task text collate "C" not null,
    key text collate "C" not null
) with (
    fillfactor = 50,
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 200,
    autovacuum_vacuum_cost_delay = 0
);
create index counter_next on umbel.counter(queue, next) where next is not null;
create index counter_task on umbel.counter(queue, task, left(key, 100), id);

create table umbel.adjustment(
    queue text collate "C" not null,
    task text collate "C" not null,
    every double precision not null,
    concurrency integer not null,
    burst integer not null,
    primary key (queue, task)
);

create table umbel.turn(
    id uuid primary key,
    counter uuid not null,
    place bigint not null,
    solo boolean not null,
    free boolean not null
) with (
    fillfactor = 50,
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 500,
    autovacuum_vacuum_cost_delay = 0
);
create index turn_next on umbel.turn(counter, free, place);

create table umbel.pass(
    job uuid primary key,
    counter uuid not null,
    turn uuid not null,
    retries integer not null default 0,
    entered boolean not null
) with (
    fillfactor = 70,
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 500,
    autovacuum_vacuum_cost_delay = 0
);

create table umbel.holder(
    id uuid primary key,
    job uuid not null,
    until timestamptz,
    started boolean not null default false,
    name text collate "C" not null
) with (
    fillfactor = 70,
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 500,
    autovacuum_vacuum_cost_delay = 0
);

-- from when on starts are counted for a limit that is due then: after a pause there may be a burst, and one that comes late
-- for what waits catches up by an interval, or 0.1 s
create function umbel.base(
    now timestamptz, due timestamptz, waiting boolean, every double precision, burst integer
) returns timestamptz language sql immutable as $$
    select least(now + every * interval '1 second', greatest(due, now - greatest(
        (burst - 1) * every, case when waiting then greatest(every, 0.1) else 0 end
    ) * interval '1 second'))
$$;

-- how many a limit may let go now, at most that many
create function umbel.room(
    now timestamptz, base timestamptz, every double precision, burst integer, concurrency integer, released integer,
    entered integer, most integer
) returns integer language sql immutable as $$
    select greatest(0, least(most,
        case when concurrency > 0 then concurrency - released - entered else most end,
        case when every > 0 then least(
            floor(extract(epoch from now - base + interval '1 microsecond')::float8 / every) + 1,
            greatest(burst, ceil(0.1 / every)) - released
        ) else most end
    ))::integer
$$;
