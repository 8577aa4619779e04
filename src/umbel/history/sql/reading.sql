-- reading: what dashboard and command line show, beside lists of jobs (those: search.sql).

-- name: job
-- $1 id
select seq, id, task_id, queue_id, worker_id, state, attempt, crashes, priority, sent_at, eta, started_at, finished_at,
    wait_ms, run_ms, error_id, flow_id, retry_of, progress, change, is_sent, expires, root_id, parent_id, schedule,
    heard
from job where id = $1

-- name: body
-- $1 seq
select args, kwargs, headers, result, envelope is not null from job_body where seq = $1

-- name: envelope
-- $1 id
select b.envelope from job j join job_body b on b.seq = j.seq where j.id = $1

-- name: attempts
-- $1 seq
select n, state, at, worker_id, run_ms, wait_ms, error_id, error, message, traceback from attempt
where seq = $1 order by n limit 200

-- name: children
-- $1 parent, $2 how many
select id, task_id, state from job where parent_id = $1 order by seq desc limit $2

-- name: retries
-- $1 the old job, $2 how many
select id, task_id, state from job where retry_of = $1 order by seq desc limit $2

-- name: relative
-- $1 id
select id, task_id, state from job where id = $1

-- name: changed
-- $1 change, $2 how many
select seq, id, task_id, queue_id, worker_id, state, attempt, crashes, priority, sent_at, eta, started_at, finished_at,
    wait_ms, run_ms, error_id, flow_id, retry_of, progress, change
from job where change > $1 order by change limit $2

-- name: counter
-- $1 name
select value from counter where name = $1

-- name: series
-- $1 span, $2 task, $3 queue, $4 first bucket, $5 last bucket
select bucket, sent, succeeded, failed, retried, revoked, dead, waits, runs from rollup
where span = $1 and task_id = $2 and queue_id = $3 and bucket >= $4 and bucket <= $5 order by bucket

-- name: rollups
-- $1 span, $2 first bucket, $3 last bucket, $4 how many; the newest first
select task_id, queue_id, sent, succeeded, failed, retried, revoked, dead, waits, runs from rollup
where span = $1 and bucket >= $2 and bucket <= $3 order by bucket desc limit $4

-- name: error_counts
-- $1 first minute, $2 last minute
select error_id, sum(n) from error_minute where minute >= $1 and minute <= $2 group by error_id

-- name: error
-- $1 id
select id, fingerprint, type, template, frame, first_seen, last_seen, n, last_seq, status from error where id = $1

-- name: error_minutes
-- $1 error, $2 first minute, $3 last minute
select minute, n from error_minute where minute >= $2 and minute <= $3 and error_id = $1 order by minute

-- name: job_of
-- $1 seq
select id from job where seq = $1

-- name: queues
-- $1 the first bucket to look at; answers all samples since then
select queue_id, bucket, ready, delayed, running, parked, held, dead, oldest_ms, paused from queue_sample
where bucket >= $1 order by bucket

-- name: queue
-- $1 queue, $2 first bucket, $3 last bucket
select queue_id, bucket, ready, delayed, running, parked, held, dead, oldest_ms, paused from queue_sample
where queue_id = $1 and bucket >= $2 and bucket <= $3 order by bucket

-- name: workers
-- $1 seen since, $2 how many
select worker_id, host, pid, version, queues, slots, used, rss, cpu, jobs, processed, started, seen, stopped from worker
where seen >= $1 order by seen desc limit $2

-- name: schedule_runs
-- $1 since, $2 how many; the newest first
select s.schedule, s.tick, s.at, s.job_id, j.state from schedule_run s left join job j on j.id = s.job_id
where s.tick >= $1 order by s.tick desc limit $2

-- name: runs_of
-- $1 schedule, $2 how many
select s.schedule, s.tick, s.at, s.job_id, j.state from schedule_run s left join job j on j.id = s.job_id
where s.schedule = $1 order by s.tick desc limit $2

-- name: flows
-- $1 seen before, $2 how many
select id, name, root_id, total, state, started_at, finished_at, seen from flow
where seen < $1 order by seen desc limit $2

-- name: flow
-- $1 id
select id, name, root_id, total, state, started_at, finished_at, seen from flow where id = $1

-- name: flow_counts
-- $1 flow, $2 among how many of its jobs
select state, count(*) from (select state from job where flow_id = $1 order by seq desc limit $2) as members
group by state

-- name: flow_jobs
-- $1 flow, $2 how many
select seq, id, task_id, queue_id, worker_id, state, attempt, crashes, priority, sent_at, eta, started_at, finished_at,
    wait_ms, run_ms, error_id, flow_id, retry_of, progress, change
from job where flow_id = $1 order by seq desc limit $2

-- name: gaps
-- $1 found before, $2 how many; those that were not closed, the newest first
select source, first, last, at, opening, closed from gap where closed is null and at <= $1 order by at desc limit $2

-- name: dropped
-- answers how many events sources have dropped themselves
select coalesce(sum(dropped), 0) from source

-- name: audits
-- $1 below this id, $2 how many
select id, at, who, origin, what, target, n, outcome from audit where id < $1 order by id desc limit $2

-- name: newest_seq
select max(seq) from job
