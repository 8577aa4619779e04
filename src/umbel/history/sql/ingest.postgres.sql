-- ingest: statements that take sets and many rows (a column of all rows each), see ingest.sql.

-- name: jobs
-- $1 ids; answers their rows
select
    seq, id, task_id, queue_id, worker_id, worker_n, state, grade, attempt, level, state_at, priority, crashes,
    sent_at, is_sent, eta, expires, started_at, finished_at, wait_ms, run_ms, error_id, error_n, flow_id,
    root_id, parent_id, retry_of, schedule, progress, progress_at, heard, change, past, past_at
from job where id = any($1::text[])

-- name: known
-- $1 ids; answers those that there are, with their seqs, and whether only their sending is known
select id, seq, level = 0 and past_at is null and flow_id is null and task_id > 0 and queue_id > 0 from job
where id = any($1::text[])

-- name: sources
-- $1 sources; answers them with their greatest numbers
select id, upto from source where id = any($1::text[])

-- name: names
-- $1 names of the sort $2; answers them with their ids
select name, id from name where sort = $2 and name = any($1::text[])

-- name: errors
-- $1 fingerprints; answers them with their ids
select fingerprint, id from error where fingerprint = any($1::text[])

-- name: signatures
-- $1 tasks; answers the names of their parameters
select task_id, parameters from signature where task_id = any($1::int8[])

-- name: attempts
-- $1 seqs; answers which attempts of theirs have failed
select seq, n from attempt where seq = any($1::int8[]) and error_id is not null

-- name: rollups
-- $1 buckets, each times 100,000 and its span; answers their rows for the tasks $2, of which 0 stands for all queues
select
    r.span, r.task_id, r.queue_id, r.bucket, r.sent, r.succeeded, r.failed, r.retried, r.revoked, r.dead, r.waits,
    r.runs
from unnest($1::int8[]) as wanted (value) cross join rollup r
where r.span = wanted.value % 100000 and r.bucket = wanted.value / 100000 and r.task_id = any($2::int8[])

-- name: put_sources
-- source, its greatest number, its worker, events that it dropped since the last time, now
insert into source (id, upto, worker_id, dropped, seen)
select * from unnest($1::text[], $2::int8[], $3::int8[], $4::int8[], $5::float8[])
on conflict (id) do update set upto = excluded.upto, dropped = source.dropped + excluded.dropped, seen = excluded.seen,
    worker_id = case when excluded.worker_id > 0 then excluded.worker_id else source.worker_id end

-- name: put_names
-- id, sort, name
insert into name (id, sort, name)
select * from unnest($1::int8[], $2::text[], $3::text[])
on conflict (sort, name) do nothing

-- name: new_jobs
-- all columns of job
insert into job (
    seq, id, task_id, queue_id, worker_id, worker_n, state, grade, attempt, level, state_at, priority, crashes,
    sent_at, is_sent, eta, expires, started_at, finished_at, wait_ms, run_ms, error_id, error_n, flow_id,
    root_id, parent_id, retry_of, schedule, progress, progress_at, heard, change, past, past_at
)
select * from unnest(
    $1::int8[], $2::text[], $3::int8[], $4::int8[], $5::int8[], $6::int8[], $7::int2[], $8::int2[], $9::int8[],
    $10::int4[], $11::float8[], $12::int2[], $13::int8[], $14::float8[], $15::int2[], $16::float8[],
    $17::float8[], $18::float8[], $19::float8[], $20::int8[], $21::int8[], $22::int8[], $23::int8[],
    $24::text[], $25::text[], $26::text[], $27::text[], $28::text[], $29::text[], $30::float8[], $31::float8[],
    $32::int8[], $33::int8[], $34::float8[]
)

-- name: change_jobs
-- what changes while a job runs
update job set
    worker_id = new.worker_id, worker_n = new.worker_n, state = new.state, grade = new.grade,
    attempt = new.attempt, level = new.level, state_at = new.state_at, crashes = new.crashes,
    started_at = new.started_at, finished_at = new.finished_at, wait_ms = new.wait_ms, run_ms = new.run_ms,
    error_id = new.error_id, error_n = new.error_n, progress = new.progress, progress_at = new.progress_at,
    heard = new.heard, change = new.change, past = new.past, past_at = new.past_at
from unnest(
    $1::int8[], $2::int8[], $3::int8[], $4::int2[], $5::int2[], $6::int8[], $7::int4[], $8::float8[],
    $9::int8[], $10::float8[], $11::float8[], $12::int8[], $13::int8[], $14::int8[], $15::int8[], $16::text[],
    $17::float8[], $18::float8[], $19::int8[], $20::int8[], $21::float8[]
) as new (
    seq, worker_id, worker_n, state, grade, attempt, level, state_at, crashes, started_at, finished_at,
    wait_ms, run_ms, error_id, error_n, progress, progress_at, heard, change, past, past_at
)
where job.seq = new.seq

-- name: sent_jobs
-- seq, change, id, task, queue, now, state, when it was sent, priority, ETA, expiry, root, parent, what it repeats,
-- schedule: of new jobs of which only the sending is known
insert into job (
    seq, change, id, task_id, queue_id, heard, state, sent_at, state_at, priority, eta, expires, root_id, parent_id,
    retry_of, schedule, worker_id, worker_n, grade, attempt, level, crashes, is_sent, error_n
)
select
    seq, change, id, task_id, queue_id, heard, state, sent_at, sent_at, priority, eta, expires, root_id, parent_id,
    retry_of, schedule, 0, -1, 0, 0, 0, 0, 1, -1
from unnest(
    $1::int8[], $2::int8[], $3::text[], $4::int8[], $5::int8[], $6::float8[], $7::int2[], $8::float8[], $9::int2[],
    $10::float8[], $11::float8[], $12::text[], $13::text[], $14::text[], $15::text[]
) as new (
    seq, change, id, task_id, queue_id, heard, state, sent_at, priority, eta, expires, root_id, parent_id, retry_of,
    schedule
)

-- name: done_jobs
-- the same, then worker, when it ended and began, wait and run (ms): of new jobs that have succeeded
insert into job (
    seq, change, id, task_id, queue_id, heard, state, sent_at, priority, eta, expires, root_id, parent_id, retry_of,
    schedule, worker_id, finished_at, state_at, started_at, wait_ms, run_ms, worker_n, grade, attempt, level, crashes,
    is_sent, error_n
)
select
    seq, change, id, task_id, queue_id, heard, 7, sent_at, priority, eta, expires, root_id, parent_id, retry_of,
    schedule, worker_id, finished_at, finished_at, started_at, wait_ms, run_ms, 1, 2, 1, 9, 0, 1, -1
from unnest(
    $1::int8[], $2::int8[], $3::text[], $4::int8[], $5::int8[], $6::float8[], $7::int2[], $8::float8[], $9::int2[],
    $10::float8[], $11::float8[], $12::text[], $13::text[], $14::text[], $15::text[], $16::int8[], $17::float8[],
    $18::float8[], $19::int8[], $20::int8[]
) as new (
    seq, change, id, task_id, queue_id, heard, state, sent_at, priority, eta, expires, root_id, parent_id, retry_of,
    schedule, worker_id, finished_at, started_at, wait_ms, run_ms
)

-- name: succeed_jobs
-- seq, change, now, worker, when it ended and began, wait and run (ms): of jobs of which only the sending was known
update job set
    change = new.change, heard = new.heard, worker_id = new.worker_id, worker_n = 1, state = 7, grade = 2, attempt = 1,
    level = 9, state_at = new.finished_at, finished_at = new.finished_at, started_at = new.started_at,
    wait_ms = new.wait_ms, run_ms = new.run_ms
from unnest(
    $1::int8[], $2::int8[], $3::float8[], $4::int8[], $5::float8[], $6::float8[], $7::int8[], $8::int8[]
) as new (seq, change, heard, worker_id, finished_at, started_at, wait_ms, run_ms)
where job.seq = new.seq

-- name: complete_jobs
-- what is known when it was sent, if that is told later
update job set
    task_id = new.task_id, queue_id = new.queue_id, priority = new.priority, sent_at = new.sent_at,
    is_sent = new.is_sent, eta = new.eta, expires = new.expires, flow_id = new.flow_id, root_id = new.root_id,
    parent_id = new.parent_id, retry_of = new.retry_of, schedule = new.schedule
from unnest(
    $1::int8[], $2::int8[], $3::int8[], $4::int2[], $5::float8[], $6::int2[], $7::float8[], $8::float8[],
    $9::text[], $10::text[], $11::text[], $12::text[], $13::text[]
) as new (
    seq, task_id, queue_id, priority, sent_at, is_sent, eta, expires, flow_id, root_id, parent_id, retry_of,
    schedule
)
where job.seq = new.seq

-- name: new_bodies
-- seq, attempt, envelope, args, kwargs, headers, pairs: of new jobs. To look for rows that are there already
-- would cost as much again
insert into job_body (seq, attempt, envelope, args, kwargs, headers, pairs)
select * from unnest(
    $1::int8[], $2::int8[], $3::bytea[], $4::text[], $5::text[], $6::text[], $7::bytea[]
)

-- name: put_bodies
-- seq, attempt, envelope, args, kwargs, headers, pairs: what is there stays, newer envelopes win
insert into job_body (seq, attempt, envelope, args, kwargs, headers, pairs)
select * from unnest(
    $1::int8[], $2::int8[], $3::bytea[], $4::text[], $5::text[], $6::text[], $7::bytea[]
)
on conflict (seq) do update set
    envelope = case when excluded.envelope is not null
        and (job_body.envelope is null or excluded.attempt >= job_body.attempt)
        then excluded.envelope else job_body.envelope end,
    attempt = case when excluded.envelope is not null and excluded.attempt > job_body.attempt
        then excluded.attempt else job_body.attempt end,
    args = coalesce(job_body.args, excluded.args), kwargs = coalesce(job_body.kwargs, excluded.kwargs),
    headers = coalesce(job_body.headers, excluded.headers),
    pairs = coalesce(job_body.pairs, excluded.pairs)

-- name: new_results
-- seq, result: of new jobs
insert into job_result (seq, result)
select * from unnest($1::int8[], $2::text[])

-- name: put_results
-- seq, result: the last one counts
insert into job_result (seq, result)
select * from unnest($1::int8[], $2::text[])
on conflict (seq) do update set result = excluded.result

-- name: put_attempts
-- all columns of attempt; what happened later within an attempt wins, else what was first
insert into attempt (seq, n, state, level, at, worker_id, run_ms, wait_ms, error_id, error, message, traceback)
select * from unnest(
    $1::int8[], $2::int8[], $3::int2[], $4::int4[], $5::float8[], $6::int8[], $7::int8[], $8::int8[],
    $9::int8[], $10::text[], $11::text[], $12::bytea[]
)
on conflict (seq, n) do update set
    state = excluded.state, level = excluded.level, at = excluded.at, worker_id = excluded.worker_id,
    run_ms = excluded.run_ms, wait_ms = excluded.wait_ms, error_id = excluded.error_id, error = excluded.error,
    message = excluded.message, traceback = excluded.traceback
where excluded.level > attempt.level or (excluded.level = attempt.level and excluded.at < attempt.at)

-- name: new_args
-- path, value, seq: of new jobs
insert into arg (path_id, value, seq)
select * from unnest($1::int8[], $2::int8[], $3::int8[])

-- name: put_args
-- path, value, seq
insert into arg (path_id, value, seq)
select * from unnest($1::int8[], $2::int8[], $3::int8[])
on conflict do nothing

-- name: put_rollups
-- all columns of rollup
insert into rollup (
    span, task_id, queue_id, bucket, sent, succeeded, failed, retried, revoked, dead, waits, runs
)
select * from unnest(
    $1::int8[], $2::int8[], $3::int8[], $4::int8[], $5::int8[], $6::int8[], $7::int8[], $8::int8[], $9::int8[],
    $10::int8[], $11::bytea[], $12::bytea[]
)
on conflict (span, task_id, queue_id, bucket) do update set
    sent = excluded.sent, succeeded = excluded.succeeded, failed = excluded.failed, retried = excluded.retried,
    revoked = excluded.revoked, dead = excluded.dead, waits = excluded.waits, runs = excluded.runs

-- name: flow_counts
-- flow, state, how many more
insert into flow_count (flow_id, state, n)
select * from unnest($1::text[], $2::int2[], $3::int8[])
on conflict (flow_id, state) do update set n = flow_count.n + excluded.n

-- name: flows_heard
-- flow, now; one that was heard of within 10 s stays as it is
insert into flow (id, name, state, seen)
select id, '', 'running', seen from unnest($1::text[], $2::float8[]) as heard (id, seen)
on conflict (id) do update set seen = excluded.seen where flow.seen < excluded.seen - 10
