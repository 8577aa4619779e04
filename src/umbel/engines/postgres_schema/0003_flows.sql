-- 0003 flows
--
-- flow           one row per flow that was started; id is a UUID: the flow's own, or one made of its name
--   key          what its chunks are kept under: of the start that won, if there were several
--   ends, bad    ends that have not opened, and ends that a member of failed
--   forget       when it is forgotten; null until it has ended
-- flow_node      one row per node
--   first        the first member that failed
--   chunks, sent how many chunks of jobs it has, and how many of them were sent; a node without is an end
--   state        0 waiting, 1 open and sending, 2 open, 3 complete: only within the transaction that opens it
-- flow_input     one row per member that joined a node
-- flow_chunk     jobs of a node that are not sent yet, some in a row; under the key of a start that may be under way
-- flow_draft     starts that are under way, and when they are forgotten
create table umbel.flow(
    id uuid primary key,
    key uuid not null,
    created timestamptz not null,
    ended timestamptz,
    forget timestamptz,
    expires double precision,
    ttl double precision not null,
    ends integer not null,
    bad integer not null default 0,
    state text collate "C" not null,
    home text collate "C" not null,
    name text collate "C",
    plan bytea not null
) with (fillfactor = 70);
create index flow_newest on umbel.flow(home, created);
create index flow_forget on umbel.flow(forget) where forget is not null;

create table umbel.flow_node(
    id bigint generated always as identity primary key,
    flow uuid not null,
    first bigint,
    number integer not null,
    members integer not null,
    joined integer not null default 0,
    failed integer not null default 0,
    chunks integer not null,
    sent integer not null default 0,
    state smallint not null,
    constraint flow_node_number unique (flow, number)
) with (
    fillfactor = 50,
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 500,
    autovacuum_vacuum_cost_delay = 0
);
create index flow_node_sending on umbel.flow_node(id) where state = 1;

create table umbel.flow_input(
    node bigint not null,
    member bigint not null,
    failed boolean not null,
    value bytea not null,
    primary key (node, member)
);

create table umbel.flow_chunk(
    flow uuid not null,
    node integer not null,
    place integer not null,
    ids uuid[] not null,
    names text[] collate "C" not null,
    queues text[] collate "C" not null,
    levels smallint[] not null,
    delays double precision[] not null,
    etas double precision[] not null,
    envelopes bytea[] not null,
    primary key (flow, node, place)
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500, autovacuum_vacuum_cost_delay = 0);
alter table umbel.flow_chunk alter column envelopes set storage external;

create table umbel.flow_draft(
    key uuid primary key,
    expires timestamptz not null
);
create index flow_draft_expires on umbel.flow_draft(expires);
