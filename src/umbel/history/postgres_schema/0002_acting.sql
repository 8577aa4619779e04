-- Actions on all jobs that match, groups of errors that somebody has dealt with, releases, and jobs with several lives.
-- All of it is in the schema that is first on the search path.

-- A dead letter that runs again counts its attempts anew: "past" are those of its earlier lives, "past_at" is the end
-- of the last of those.
alter table job add column past bigint not null default 0;
alter table job add column past_at double precision;

alter table error add column triaged_at double precision;
alter table error add column triaged_by text not null default '';
create table error_hour (
    hour bigint not null,
    error_id bigint not null,
    n bigint not null,
    primary key (hour, error_id)
);
insert into error_hour (hour, error_id, n)
select minute / 3600 * 3600, error_id, sum(n) from error_minute group by minute / 3600 * 3600, error_id;

-- "holder" carries it out and says so again and again: when "lease_until" is over, another one goes on at "cursor", a
-- seq below which nothing was looked at yet. "options" are a matter of who carries it out.
create table bulk_action (
    id text primary key,
    what text not null,
    filter text not null,
    options text not null,
    cutoff bigint not null,
    asked_at double precision not null,
    who text not null,
    origin text not null,
    started_at double precision not null,
    finished_at double precision,
    total bigint not null,
    capped smallint not null,
    done bigint not null,
    failed bigint not null,
    state text not null,
    trouble text not null,
    cursor bigint,
    holder text not null,
    lease_until double precision not null
);
create index bulk_action_started on bulk_action (started_at);

-- When a version (sort umbel) or a release of the app (sort app) was first and last seen at a worker.
create table release (
    sort text not null,
    name text not null,
    first_seen double precision not null,
    last_seen double precision not null,
    primary key (sort, name)
);

create index flow_state on flow (state, seen);
create index gap_closed on gap (closed) where closed is not null;
