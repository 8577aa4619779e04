-- 0007 limits: how many jobs of a kind run at once, how often one starts, whose turn it is, and unique keys
--
-- job            state 5: held by a limit until it releases the job
--   gate, turn   the limit and the turn under which it is or was held
-- limit_gate     one row per limit that has jobs, (queue, task, name); name is its key
--   concurrency, interval, burst   what its jobs say; interval in seconds
--   due          unix ms: when the next job may start; kept as precisely as a float can
--   alarm        unix ms: when it has something to release as far as time decides; 0 at once, null not by time
--   ring         the last position that was given to a turn
--   outside, entered   how many rows of limit_place are out and in
-- limit_turn     one row per turn that has jobs held or out; name is null for jobs without a turn
--   position     its place in the round
--   outside      how many of its jobs are out
--   waits        1 if it may have a job that could be released
-- limit_place    one row per job that is out or in
--   turn         of a job that is out; null for one that is in
--   retries      how often a job that is in had been retried when it entered
-- limit_adjusted what an administrator said instead of the jobs
-- unique_key     who has a key; it is free if the job is gone or dead, or when its time is over
--   until        unix ms, or null for as long as the job has not ended
--   started      1 if a job has started under it
alter table job add column gate integer;
alter table job add column turn integer;
create index job_limited on job(queue, gate, turn, level, position) where state = 5;

create table limit_gate(
    key integer primary key,
    queue text not null,
    task text not null,
    name text not null,
    concurrency integer not null,
    interval real not null,
    burst integer not null,
    due real not null default 0,
    alarm real,
    ring integer not null default 0,
    outside integer not null default 0,
    entered integer not null default 0,
    unique (queue, task, name)
) strict;
create index limit_alarm on limit_gate(queue, alarm) where alarm is not null;

create table limit_turn(
    key integer primary key,
    gate integer not null,
    name text,
    position integer not null,
    outside integer not null default 0,
    waits integer not null default 1
) strict;
create index limit_turn_name on limit_turn(gate, name);
create index limit_turn_next on limit_turn(gate, position) where waits = 1;

create table limit_place(
    queue text not null,
    id text not null,
    gate integer not null,
    turn integer,
    retries integer not null default 0,
    primary key (queue, id)
) strict, without rowid;

create table limit_adjusted(
    queue text not null,
    task text not null,
    concurrency integer not null,
    interval real not null,
    burst integer not null,
    primary key (queue, task)
) strict, without rowid;

create table unique_key(
    queue text not null,
    name text not null,
    id text not null,
    until real,
    started integer not null default 0,
    primary key (queue, name)
) strict, without rowid;
