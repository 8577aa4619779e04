-- The history: what happened to jobs, queues, workers, schedules and flows. Times are unix seconds, durations ms.

create table meta (key text primary key, value text not null) without rowid;

-- What runs on without a gap: seq (order of first recording) and change (order of the last change) of jobs, and ids.
create table counter (name text primary key, value integer not null) without rowid;
insert into counter (name, value) values ('seq', 0), ('change', 0), ('name', 0), ('error', 0);

-- Names of tasks, queues, workers and argument paths; 0 stands for none, or for all.
create table name (id integer primary key, sort text not null, name text not null, unique (sort, name));

-- One row a job, narrow. "grade" is 0 while it may go on, 1 when dead, 2 when it has ended for good; "level" orders
-- what happened within an attempt.
create table job (
    seq integer primary key,
    id text not null unique,
    task_id integer not null,
    queue_id integer not null,
    worker_id integer not null,
    worker_n integer not null,
    state integer not null,
    grade integer not null,
    attempt integer not null,
    level integer not null,
    state_at real not null,
    priority integer not null,
    crashes integer not null,
    sent_at real not null,
    is_sent integer not null,
    eta real,
    expires real,
    started_at real,
    finished_at real,
    wait_ms integer,
    run_ms integer,
    error_id integer,
    error_n integer not null,
    flow_id text,
    root_id text,
    parent_id text,
    retry_of text,
    schedule text,
    progress text,
    progress_at real,
    heard real not null,
    change integer not null
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
    seq integer primary key,
    attempt integer not null,
    envelope blob,
    args text,
    kwargs text,
    headers text,
    result text,
    pairs blob
);

-- Attempts that say more than the job's row: those that failed, and all after the first. traceback: zlib.
create table attempt (
    seq integer not null,
    n integer not null,
    state integer not null,
    level integer not null,
    at real not null,
    worker_id integer not null,
    run_ms integer,
    wait_ms integer,
    error_id integer,
    error text,
    message text,
    traceback blob,
    primary key (seq, n)
) without rowid;

-- The index of arguments: newest first for each value of each path.
create table arg (
    path_id integer not null,
    value integer not null,
    seq integer not null,
    primary key (path_id, value, seq)
) without rowid;

create table signature (task_id integer primary key, parameters text not null);

create table error (
    id integer primary key,
    fingerprint text not null unique,
    type text not null,
    template text not null,
    frame text not null,
    first_seen real not null,
    last_seen real not null,
    n integer not null,
    last_seq integer not null,
    status text not null default 'open'
);
create index error_seen on error (last_seen);
create table error_minute (
    minute integer not null,
    error_id integer not null,
    n integer not null,
    primary key (minute, error_id)
) without rowid;

-- Counts and histograms by span (10, 60, 3600 or 86400 seconds) and bucket; of all (0, 0), of each task and of each queue.
create table rollup (
    span integer not null,
    task_id integer not null,
    queue_id integer not null,
    bucket integer not null,
    sent integer not null,
    succeeded integer not null,
    failed integer not null,
    retried integer not null,
    revoked integer not null,
    dead integer not null,
    waits blob not null,
    runs blob not null,
    primary key (span, task_id, queue_id, bucket)
) without rowid;
create index rollup_bucket on rollup (span, bucket);

create table queue_sample (
    queue_id integer not null,
    bucket integer not null,
    ready integer not null,
    delayed integer not null,
    running integer not null,
    parked integer not null,
    held integer not null,
    dead integer not null,
    oldest_ms integer,
    paused integer not null,
    primary key (queue_id, bucket)
) without rowid;
create index queue_sample_bucket on queue_sample (bucket);

-- The least and the greatest seq of the jobs sent within a minute: turns a time into a bound of seq.
create table minute (minute integer primary key, first integer not null, last integer not null);

create table worker (
    worker_id integer primary key,
    host text not null,
    pid integer not null,
    version text not null,
    queues text not null,
    slots integer,
    used integer,
    rss integer,
    cpu real,
    jobs text,
    processed integer,
    started real,
    seen real not null,
    stopped real
);

create table schedule_run (
    schedule text not null,
    tick real not null,
    job_id text not null,
    at real not null,
    primary key (schedule, tick, job_id)
) without rowid;
create index schedule_run_tick on schedule_run (tick);

create table flow (
    id text primary key,
    name text not null,
    root_id text,
    total integer,
    state text not null,
    started_at real,
    finished_at real,
    seen real not null
) without rowid;
create index flow_seen on flow (seen);

-- Who may do what is the dashboard's affair; what was done stands here and is only ever added to.
create table audit (
    id integer primary key,
    at real not null,
    who text not null,
    origin text not null,
    what text not null,
    target text not null,
    n integer not null,
    outcome text not null
);
create index audit_at on audit (at);

-- Batches: the greatest number of each source, and the numbers below it that did not come.
create table source (
    id text primary key,
    upto integer not null,
    worker_id integer not null,
    dropped integer not null,
    seen real not null
) without rowid;
create index source_seen on source (seen);
create table gap (
    source text not null,
    first integer not null,
    last integer not null,
    at real not null,
    opening integer not null,
    closed real,
    primary key (source, first)
) without rowid;
