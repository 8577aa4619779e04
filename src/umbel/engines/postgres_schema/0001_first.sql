-- 0001 first   the tables of one database, in the schema umbel; runs once, in one transaction, under a lock
--
-- job          one row per job that has not ended. id is a UUID: the job's own, or one made of its name
--   name       the job's id where that is not a UUID
--   state      0 waiting (ready from run_at on), 1 held by a session, 2 dead letter, 3 parked under task
--   run_at     since when it is ready, or when it will be; kept while it is held, so that a job that comes back is in
--              front of all that came after it; of a dead letter: since when it is dead
--   seq        order among those of one instant
--   delayed    it was not ready when it came, and nobody was woken for it since
--   session, number   the fence: who holds the job, and the receive that handed it out
--   back       it was handed out before
-- session      one row per session and queue; a dead one is remembered for a day, so that nobody revives it
--   received   its last receive number: a receive that comes late is refused
--   ended      since when it is dead; null while it is open
-- result       terminal records; an empty one marks a job that ended without. writer: the session, or another's owner
-- claim        who may write a record, where the broker is another engine
-- queue        one row per queue that was ever used
--   seen, hold when a supervisor last looked after it, and until when no lease may end there
create sequence umbel.job_seq as bigint;

create table umbel.job(
    id uuid primary key,
    seq bigint not null default nextval('umbel.job_seq'),
    run_at timestamptz not null,
    session uuid,
    number integer,
    level smallint not null,
    state smallint not null default 0,
    delayed boolean not null default false,
    marked boolean not null default false,
    back boolean not null default false,
    retries integer not null default 0,
    crashes integer not null default 0,
    losses integer not null default 0,
    queue text collate "C" not null,
    name text collate "C",
    task text collate "C",
    envelope bytea not null
) with (
    fillfactor = 70,
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 500,
    autovacuum_vacuum_cost_delay = 0
);
alter sequence umbel.job_seq owned by umbel.job.seq;
-- Envelopes are compressed no more: it costs each send more than the disk gains.
alter table umbel.job alter column envelope set storage external;
create index job_waiting on umbel.job(queue, level, run_at, seq) where state = 0;
create index job_delayed on umbel.job(queue, run_at) where state = 0 and delayed;
create index job_held on umbel.job(session) where state = 1;
create index job_dead on umbel.job(queue, run_at) where state = 2;
create index job_parked on umbel.job(queue, task, run_at, seq) where state = 3;

create table umbel.session(
    id uuid not null,
    queue text collate "C" not null,
    received integer not null default 0,
    until timestamptz not null,
    ended timestamptz,
    info bytea not null,
    primary key (id, queue),
    -- Not for uniqueness: because ended is part of a key, the update that sets it waits for every settle that holds its
    -- session's row by FOR KEY SHARE. Beats and receives touch no key, so they wait for none.
    constraint session_death unique (id, queue, ended)
) with (fillfactor = 50);
create index session_queue on umbel.session(queue, ended);

create table umbel.result(
    id uuid primary key,
    expires timestamptz not null,
    writer text collate "C" not null,
    record bytea not null
) with (autovacuum_vacuum_scale_factor = 0.02);
alter table umbel.result alter column record set storage external;
create index result_expires on umbel.result(expires);

create table umbel.claim(
    id uuid primary key,
    expires timestamptz not null,
    owner text collate "C" not null
);
create index claim_expires on umbel.claim(expires);

create table umbel.queue(
    name text collate "C" primary key,
    seen timestamptz,
    hold timestamptz not null default '-infinity'
) with (fillfactor = 50);
