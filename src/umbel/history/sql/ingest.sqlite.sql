-- ingest: statements that take sets and many rows (each row's values), see ingest.sql.

-- name: jobs
-- $1 ids; answers their rows
select
    seq, id, task_id, queue_id, worker_id, worker_n, state, grade, attempt, level, state_at, priority, crashes,
    sent_at, is_sent, eta, expires, started_at, finished_at, wait_ms, run_ms, error_id, error_n, flow_id,
    root_id, parent_id, retry_of, schedule, progress, progress_at, heard, change, past, past_at
from job where id in (select value from json_each($1))

-- name: known
-- $1 ids; answers those that there are, with their seqs, and whether only their sending is known
select id, seq, level = 0 and past_at is null and flow_id is null and task_id > 0 and queue_id > 0 from job
where id in (select value from json_each($1))

-- name: sources
-- $1 sources; answers them with their greatest numbers
select id, upto from source where id in (select value from json_each($1))

-- name: names
-- $1 names of the sort $2; answers them with their ids
select name, id from name where sort = $2 and name in (select value from json_each($1))

-- name: errors
-- $1 fingerprints; answers them with their ids
select fingerprint, id from error where fingerprint in (select value from json_each($1))

-- name: signatures
-- $1 tasks; answers the names of their parameters
select task_id, parameters from signature where task_id in (select value from json_each($1))

-- name: attempts
-- $1 seqs; answers which attempts of theirs have failed
select seq, n from attempt where seq in (select value from json_each($1)) and error_id is not null

-- name: rollups
-- $1 buckets, each times 100,000 and its span; answers their rows for the tasks $2, of which 0 stands for all queues
select
    r.span, r.task_id, r.queue_id, r.bucket, r.sent, r.succeeded, r.failed, r.retried, r.revoked, r.dead, r.waits,
    r.runs
from json_each($1) as wanted cross join rollup r
where r.span = wanted.value % 100000 and r.bucket = wanted.value / 100000 and r.task_id in (select value from json_each($2))

-- name: put_sources
-- source, its greatest number, its worker, events that it dropped since the last time, now
insert into source (id, upto, worker_id, dropped, seen) values ($1, $2, $3, $4, $5)
on conflict (id) do update set upto = excluded.upto, dropped = source.dropped + excluded.dropped, seen = excluded.seen,
    worker_id = case when excluded.worker_id > 0 then excluded.worker_id else source.worker_id end

-- name: put_names
-- id, sort, name
insert into name (id, sort, name)
values ($1, $2, $3)
on conflict (sort, name) do nothing

-- name: new_jobs
-- all columns of job
insert into job (
    seq, id, task_id, queue_id, worker_id, worker_n, state, grade, attempt, level, state_at, priority, crashes,
    sent_at, is_sent, eta, expires, started_at, finished_at, wait_ms, run_ms, error_id, error_n, flow_id,
    root_id, parent_id, retry_of, schedule, progress, progress_at, heard, change, past, past_at
)
values (
    $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23,
    $24, $25, $26, $27, $28, $29, $30, $31, $32, $33, $34
)

-- name: change_jobs
-- what changes while a job runs
update job set
    worker_id = $2, worker_n = $3, state = $4, grade = $5, attempt = $6, level = $7, state_at = $8,
    crashes = $9, started_at = $10, finished_at = $11, wait_ms = $12, run_ms = $13, error_id = $14,
    error_n = $15, progress = $16, progress_at = $17, heard = $18, change = $19, past = $20,
    past_at = $21
where seq = $1

-- name: sent_jobs
-- seq, change, id, task, queue, now, state, when it was sent, priority, ETA, expiry, root, parent, what it repeats,
-- schedule: of new jobs of which only the sending is known
insert into job (
    seq, change, id, task_id, queue_id, heard, state, sent_at, state_at, priority, eta, expires, root_id, parent_id,
    retry_of, schedule, worker_id, worker_n, grade, attempt, level, crashes, is_sent, error_n
)
values ($1, $2, $3, $4, $5, $6, $7, $8, $8, $9, $10, $11, $12, $13, $14, $15, 0, -1, 0, 0, 0, 0, 1, -1)

-- name: done_jobs
-- the same, then worker, when it ended and began, wait and run (ms): of new jobs that have succeeded
insert into job (
    seq, change, id, task_id, queue_id, heard, sent_at, priority, eta, expires, root_id, parent_id, retry_of, schedule,
    worker_id, finished_at, state_at, started_at, wait_ms, run_ms, state, worker_n, grade, attempt, level, crashes,
    is_sent, error_n
)
values (
    $1, $2, $3, $4, $5, $6, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $17, $18, $19, $20, 7, 1, 2, 1, 9, 0, 1, -1
)

-- name: succeed_jobs
-- seq, change, now, worker, when it ended and began, wait and run (ms): of jobs of which only the sending was known
update job set
    change = $2, heard = $3, worker_id = $4, worker_n = 1, state = 7, grade = 2, attempt = 1, level = 9, state_at = $5,
    finished_at = $5, started_at = $6, wait_ms = $7, run_ms = $8
where seq = $1

-- name: complete_jobs
-- what is known when it was sent, if that is told later
update job set
    task_id = $2, queue_id = $3, priority = $4, sent_at = $5, is_sent = $6, eta = $7, expires = $8,
    flow_id = $9, root_id = $10, parent_id = $11, retry_of = $12, schedule = $13
where seq = $1

-- name: new_bodies
-- seq, attempt, envelope, args, kwargs, headers, pairs: of new jobs
insert into job_body (seq, attempt, envelope, args, kwargs, headers, pairs)
values ($1, $2, $3, $4, $5, $6, $7)

-- name: put_bodies
-- seq, attempt, envelope, args, kwargs, headers, pairs: what is there stays, newer envelopes win
insert into job_body (seq, attempt, envelope, args, kwargs, headers, pairs)
values ($1, $2, $3, $4, $5, $6, $7)
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
values ($1, $2)

-- name: put_results
-- seq, result: the last one counts
insert into job_result (seq, result)
values ($1, $2)
on conflict (seq) do update set result = excluded.result

-- name: put_attempts
-- all columns of attempt; what happened later within an attempt wins, else what was first
insert into attempt (seq, n, state, level, at, worker_id, run_ms, wait_ms, error_id, error, message, traceback)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
on conflict (seq, n) do update set
    state = excluded.state, level = excluded.level, at = excluded.at, worker_id = excluded.worker_id,
    run_ms = excluded.run_ms, wait_ms = excluded.wait_ms, error_id = excluded.error_id, error = excluded.error,
    message = excluded.message, traceback = excluded.traceback
where excluded.level > attempt.level or (excluded.level = attempt.level and excluded.at < attempt.at)

-- name: new_args
-- path, value, seq: of new jobs
insert into arg (path_id, value, seq) values ($1, $2, $3)

-- name: put_args
-- path, value, seq
insert into arg (path_id, value, seq)
values ($1, $2, $3)
on conflict do nothing

-- name: put_rollups
-- all columns of rollup
insert into rollup (
    span, task_id, queue_id, bucket, sent, succeeded, failed, retried, revoked, dead, waits, runs
)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
on conflict (span, task_id, queue_id, bucket) do update set
    sent = excluded.sent, succeeded = excluded.succeeded, failed = excluded.failed, retried = excluded.retried,
    revoked = excluded.revoked, dead = excluded.dead, waits = excluded.waits, runs = excluded.runs

-- name: flow_counts
-- flow, state, how many more
insert into flow_count (flow_id, state, n)
values ($1, $2, $3)
on conflict (flow_id, state) do update set n = flow_count.n + excluded.n

-- name: flows_heard
-- flow, now; one that was heard of within 10 s stays as it is
insert into flow (id, name, state, seen)
values ($1, '', 'running', $2)
on conflict (id) do update set seen = excluded.seen where flow.seen < excluded.seen - 10
