-- The history: what happened to jobs, queues, workers, schedules and flows. Times are unix seconds, durations ms.
-- All of it is in the schema that is first on the search path.

create table meta (key text primary key, value text not null);

-- What runs on without a gap: seq (order of first recording) and change (order of the last change) of jobs, and ids.
create table counter (name text primary key, value bigint not null);
insert into counter (name, value) values ('seq', 0), ('change', 0), ('name', 0), ('error', 0);

-- Names of tasks, queues, workers and argument paths; 0 stands for none, or for all.
create table name (id bigint primary key, sort text not null, name text not null, unique (sort, name));

-- One row a job, narrow. "grade" is 0 while it may go on, 1 when dead, 2 when it has ended for good; "level" orders
-- what happened within an attempt.
create table job (
    seq bigint primary key,
    id text not null unique,
    task_id bigint not null,
    queue_id bigint not null,
    worker_id bigint not null,
    worker_n bigint not null,
    state smallint not null,
    grade smallint not null,
    attempt bigint not null,
    level integer not null,
    state_at double precision not null,
    priority smallint not null,
    crashes bigint not null,
    sent_at double precision not null,
    is_sent smallint not null,
    eta double precision,
    expires double precision,
    started_at double precision,
    finished_at double precision,
    wait_ms bigint,
    run_ms bigint,
    error_id bigint,
    error_n bigint not null,
    flow_id text,
    root_id text,
    parent_id text,
    retry_of text,
    schedule text,
    progress text,
    progress_at double precision,
    heard double precision not null,
    change bigint not null
);
create index job_state on job (state, seq);
create index job_task on job (task_id, state, seq);
create index job_queue on job (queue_id, state, seq);
create index job_worker on job (worker_id, seq) where worker_id > 0;
create index job_change on job (change);
create index job_error on job (error_id, seq) where error_id is not null;
create index job_flow on job (flow_id, seq) where flow_id is not null;
create index job_root on job (root_id, seq) where root_id is not null;
create index job_parent on job (parent_id, seq) where parent_id is not null;
create index job_retry_of on job (retry_of, seq) where retry_of is not null;
create index job_schedule on job (schedule, seq) where schedule is not null;
create index job_unfinished on job (heard) where grade = 0;

-- Apart from the job, so that lists are read from narrow rows. envelope: zlib if large; pairs: the job's rows of
-- arg, as msgpack; the others: redacted JSON.
create table job_body (
    seq bigint primary key,
    attempt bigint not null,
    envelope bytea,
    args text,
    kwargs text,
    headers text,
    result text,
    pairs bytea
);

-- Attempts that say more than the job's row: those that failed, and all after the first. traceback: zlib.
create table attempt (
    seq bigint not null,
    n bigint not null,
    state smallint not null,
    level integer not null,
    at double precision not null,
    worker_id bigint not null,
    run_ms bigint,
    wait_ms bigint,
    error_id bigint,
    error text,
    message text,
    traceback bytea,
    primary key (seq, n)
);

-- The index of arguments: newest first for each value of each path.
create table arg (
    path_id bigint not null,
    value bigint not null,
    seq bigint not null,
    primary key (path_id, value, seq)
);

create table signature (task_id bigint primary key, parameters text not null);

create table error (
    id bigint primary key,
    fingerprint text not null unique,
    type text not null,
    template text not null,
    frame text not null,
    first_seen double precision not null,
    last_seen double precision not null,
    n bigint not null,
    last_seq bigint not null,
    status text not null default 'open'
);
create index error_seen on error (last_seen);
create table error_minute (
    minute bigint not null,
    error_id bigint not null,
    n bigint not null,
    primary key (minute, error_id)
);

-- Counts and histograms by span (10, 60, 3600 or 86400 seconds) and bucket; of all (0, 0), of each task and of each queue.
create table rollup (
    span bigint not null,
    task_id bigint not null,
    queue_id bigint not null,
    bucket bigint not null,
    sent bigint not null,
    succeeded bigint not null,
    failed bigint not null,
    retried bigint not null,
    revoked bigint not null,
    dead bigint not null,
    waits bytea not null,
    runs bytea not null,
    primary key (span, task_id, queue_id, bucket)
);
create index rollup_bucket on rollup (span, bucket);

create table queue_sample (
    queue_id bigint not null,
    bucket bigint not null,
    ready bigint not null,
    delayed bigint not null,
    running bigint not null,
    parked bigint not null,
    held bigint not null,
    dead bigint not null,
    oldest_ms bigint,
    paused smallint not null,
    primary key (queue_id, bucket)
);
create index queue_sample_bucket on queue_sample (bucket);

-- The least and the greatest seq of the jobs sent within a minute: turns a time into a bound of seq.
create table minute (minute bigint primary key, first bigint not null, last bigint not null);

create table worker (
    worker_id bigint primary key,
    host text not null,
    pid bigint not null,
    version text not null,
    queues text not null,
    slots bigint,
    used bigint,
    rss bigint,
    cpu double precision,
    jobs text,
    processed bigint,
    started double precision,
    seen double precision not null,
    stopped double precision
);

create table schedule_run (
    schedule text not null,
    tick double precision not null,
    job_id text not null,
    at double precision not null,
    primary key (schedule, tick, job_id)
);
create index schedule_run_tick on schedule_run (tick);

create table flow (
    id text primary key,
    name text not null,
    root_id text,
    total bigint,
    state text not null,
    started_at double precision,
    finished_at double precision,
    seen double precision not null
);
create index flow_seen on flow (seen);

-- Who may do what is the dashboard's affair; what was done stands here and is only ever added to.
create table audit (
    id bigint generated always as identity primary key,
    at double precision not null,
    who text not null,
    origin text not null,
    what text not null,
    target text not null,
    n bigint not null,
    outcome text not null
);
create index audit_at on audit (at);

-- Batches: the greatest number of each source, and the numbers below it that did not come.
create table source (
    id text primary key,
    upto bigint not null,
    worker_id bigint not null,
    dropped bigint not null,
    seen double precision not null
);
create index source_seen on source (seen);
create table gap (
    source text not null,
    first bigint not null,
    last bigint not null,
    at double precision not null,
    opening smallint not null,
    closed double precision,
    primary key (source, first)
);
