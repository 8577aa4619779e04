-- 0003 flows
--
-- flow         one row per flow
--   state      0 being stored, so that nobody sees it, 1 running, 2 succeeded, 3 failed, 4 revoked
--   forget     unix ms after which it does not exist any more; null while it runs
--   ttl        ms from its end to forget
--   ends       how many of its ends have not opened
-- flow_node    one row per node
--   state      0 waits for members, 1 has opened and has jobs left to send, 2 has opened
--   ending     1 for an end: it has no jobs
-- flow_job     a job that waits until its node opens, in the order in which they are sent
--   delay, eta seconds after it was sent, or unix time
-- flow_input   what a member brought to a node; a member of an end brings no value, as nobody takes it
create table flow(
    key integer primary key,
    id text not null unique,
    home text not null,
    state integer not null,
    created integer not null,
    ended integer,
    forget integer,
    ttl integer not null,
    expires real,
    ends integer not null default 0,
    plan blob not null
) strict;
create index flow_home on flow(home, created) where state > 0;
create index flow_forget on flow(forget) where forget is not null;

create table flow_node(
    flow integer not null,
    key integer not null,
    members integer not null,
    joined integer not null default 0,
    failed integer not null default 0,
    state integer not null default 0,
    ending integer not null,
    primary key (flow, key)
) strict, without rowid;
create index flow_opening on flow_node(flow, key) where state = 1;

create table flow_job(
    flow integer not null,
    node integer not null,
    position integer not null,
    id text not null,
    queue text not null,
    priority integer not null,
    delay real not null,
    eta real,
    envelope blob not null,
    primary key (flow, node, position)
) strict, without rowid;

create table flow_input(
    flow integer not null,
    node integer not null,
    member integer not null,
    failed integer not null,
    value blob not null,
    primary key (flow, node, member)
) strict, without rowid;
