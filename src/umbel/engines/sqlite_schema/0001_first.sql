-- 0001 first   the tables of one file; each change of them runs once, in one transaction
--
-- job          one row per job that has not ended
--   state      0 ready, 1 held by a session, 2 dead letter, 3 parked, 4 delayed
--   position   order among the ready ones of a level: unix time in ns of becoming ready; kept while the job is held, so
--              that a job which comes back is in front of all that came after it
--   due        unix ms: when a delayed job becomes ready; since when a dead one is dead
--   session, number   the fence: who holds the job, and the receive that handed it out
-- session      one row per session and queue; a dead one is remembered for a day, so that nobody revives it
--   until, boot       end of the lease in ms of a clock that runs since boot, and which boot
--   lifeline   the lock file that its supervisor holds while it lives
--   received   its last receive number: a receive that comes late is refused
--   ended      unix ms of its death; null while it is open
-- result       terminal records; an empty value marks a job that ended without one. expires: unix ms
-- claim        who may write a record, where the broker is another engine
-- queue        one row per queue that was ever used
--   seen, hold when a supervisor last looked after it, and until when no lease may end there; ms of the lease clock
create table job(
    seq integer primary key,
    id text not null unique,
    queue text not null,
    level integer not null,
    state integer not null,
    position integer not null,
    due integer not null,
    session integer,
    number integer,
    retries integer not null default 0,
    crashes integer not null default 0,
    losses integer not null default 0,
    marked integer not null default 0,
    back integer not null default 0,
    task text,
    envelope blob not null
) strict;
create index job_ready on job(queue, level, position) where state = 0;
create index job_held on job(session) where state = 1;
create index job_dead on job(queue, due) where state = 2;
create index job_parked on job(queue, task) where state = 3;
create index job_delayed on job(queue, due) where state = 4;

create table session(
    key integer primary key,
    id text not null,
    queue text not null,
    until integer not null,
    boot text not null,
    lifeline text not null,
    info blob not null,
    received integer not null default 0,
    ended integer,
    unique (id, queue)
) strict;
create index session_queue on session(queue, ended);

create table result(
    id text not null primary key,
    expires integer not null,
    writer text not null,
    value blob not null
) strict, without rowid;
create index result_expires on result(expires);

create table claim(
    id text not null primary key,
    expires integer not null,
    owner text not null
) strict, without rowid;
create index claim_expires on claim(expires);

create table queue(
    name text not null primary key,
    seen integer,
    hold integer not null default 0
) strict, without rowid;
