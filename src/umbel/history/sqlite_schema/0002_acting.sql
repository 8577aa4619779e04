-- Actions on all jobs that match, groups of errors that somebody has dealt with, releases, and jobs with several lives.

-- A dead letter that runs again counts its attempts anew: "past" are those of its earlier lives, "past_at" is the end
-- of the last of those.
alter table job add column past integer not null default 0;
alter table job add column past_at real;

alter table error add column triaged_at real;
alter table error add column triaged_by text not null default '';
create table error_hour (
    hour integer not null,
    error_id integer not null,
    n integer not null,
    primary key (hour, error_id)
) without rowid;
insert into error_hour (hour, error_id, n)
select minute / 3600 * 3600, error_id, sum(n) from error_minute group by minute / 3600 * 3600, error_id;

-- "holder" carries it out and says so again and again: when "lease_until" is over, another one goes on at "cursor", a
-- seq below which nothing was looked at yet. "options" are a matter of who carries it out.
create table bulk_action (
    id text primary key,
    what text not null,
    filter text not null,
    options text not null,
    cutoff integer not null,
    asked_at real not null,
    who text not null,
    origin text not null,
    started_at real not null,
    finished_at real,
    total integer not null,
    capped integer not null,
    done integer not null,
    failed integer not null,
    state text not null,
    trouble text not null,
    cursor integer,
    holder text not null,
    lease_until real not null
) without rowid;
create index bulk_action_started on bulk_action (started_at);

-- When a version (sort umbel) or a release of the app (sort app) was first and last seen at a worker.
create table release (
    sort text not null,
    name text not null,
    first_seen real not null,
    last_seen real not null,
    primary key (sort, name)
) without rowid;

create index flow_state on flow (state, seen);
create index gap_closed on gap (closed) where closed is not null;
