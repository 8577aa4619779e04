-- reading: what dashboard and command line show, beside lists of jobs (those: search.sql).

-- name: job
-- $1 id
select seq, id, task_id, queue_id, worker_id, state, attempt, crashes, priority, sent_at, eta, started_at, finished_at,
    wait_ms, run_ms, error_id, flow_id, retry_of, progress, change, is_sent, expires, root_id, parent_id, schedule,
    heard
from job where id = $1

-- name: body
-- $1 seq
select b.args, b.kwargs, b.headers, r.result, b.envelope is not null
from job j left join job_body b on b.seq = j.seq left join job_result r on r.seq = j.seq where j.seq = $1

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

-- name: counter
-- $1 name
select value from counter where name = $1

-- name: series
-- $1 span, $2 task, $3 queue, $4 first bucket, $5 last bucket
select bucket, sent, succeeded, failed, retried, revoked, dead, waits, runs from rollup
where span = $1 and task_id = $2 and queue_id = $3 and bucket >= $4 and bucket <= $5 order by bucket

-- name: counts_by_task
-- $1 span, $2 first bucket, $3 last bucket; answers the counts of each task
select r.task_id, cast(sum(r.sent) as bigint), cast(sum(r.succeeded) as bigint), cast(sum(r.failed) as bigint),
    cast(sum(r.retried) as bigint), cast(sum(r.revoked) as bigint), cast(sum(r.dead) as bigint)
from name n cross join rollup r
where n.sort = 'task' and r.span = $1 and r.task_id = n.id and r.queue_id = 0 and r.bucket >= $2 and r.bucket <= $3
group by r.task_id

-- name: times_by_task
-- $1 span, $2 first bucket, $3 last bucket, $4 how many; answers histograms of tasks
select r.task_id, r.waits, r.runs from name n cross join rollup r
where n.sort = 'task' and r.span = $1 and r.task_id = n.id and r.queue_id = 0 and r.bucket >= $2 and r.bucket <= $3
limit $4

-- name: counts_by_queue
-- $1 span, $2 first bucket, $3 last bucket; answers the counts of each queue
select r.queue_id, cast(sum(r.sent) as bigint), cast(sum(r.succeeded) as bigint), cast(sum(r.failed) as bigint),
    cast(sum(r.retried) as bigint), cast(sum(r.revoked) as bigint), cast(sum(r.dead) as bigint)
from name n cross join rollup r
where n.sort = 'queue' and r.span = $1 and r.queue_id = n.id and r.task_id = 0 and r.bucket >= $2 and r.bucket <= $3
group by r.queue_id

-- name: times_by_queue
-- $1 span, $2 first bucket, $3 last bucket, $4 how many; answers histograms of queues
select r.queue_id, r.waits, r.runs from name n cross join rollup r
where n.sort = 'queue' and r.span = $1 and r.queue_id = n.id and r.task_id = 0 and r.bucket >= $2 and r.bucket <= $3
limit $4

-- name: error_counts
-- $1 first minute, $2 last minute
select error_id, sum(n) from error_minute where minute >= $1 and minute <= $2 group by error_id

-- name: error_counts_by_hour
-- $1 first hour, $2 last hour
select error_id, sum(n) from error_hour where hour >= $1 and hour <= $2 group by error_id

-- name: groups_since
-- $1 a moment; answers how many groups of errors came then or later
select count(*) from error where last_seen >= $1

-- name: error_spread
-- $1 group, $2 among how many of its jobs; the release is what their workers ran when they ended
select task_id, queue_id, worker_id, release, count(*) from (
    select m.task_id, m.queue_id, m.worker_id, coalesce((
        select w.release from worker_release w
        where w.worker_id = m.worker_id and w.at <= m.state_at order by w.at desc limit 1
    ), '') as release
    from (
        select task_id, queue_id, worker_id, state_at from job where error_id = $1 order by seq desc limit $2
    ) as m
) as members group by task_id, queue_id, worker_id, release

-- name: last_of
-- $1 group; answers the newest job that failed so, if it is still there
select j.seq, j.id from error e join job j on j.seq = e.last_seq where e.id = $1

-- name: newest_of
-- $1 group; answers the newest job whose last error it was
select seq, id from job where error_id = $1 order by seq desc limit 1

-- name: job_of
-- $1 seq
select id, task_id from job where seq = $1

-- name: tasks
-- $1 how many; answers names of tasks, their parameters, and the first hour and last minute or hour of their figures
select n.name, s.parameters,
    (select min(r.bucket) from rollup r where r.span = 3600 and r.task_id = n.id and r.queue_id = 0),
    coalesce(
        (select max(r.bucket) from rollup r where r.span = 60 and r.task_id = n.id and r.queue_id = 0),
        (select max(r.bucket) from rollup r where r.span = 3600 and r.task_id = n.id and r.queue_id = 0)
    )
from name n left join signature s on s.task_id = n.id where n.sort = 'task' order by n.name limit $1

-- name: releases
-- $1 first seen since, $2 first seen before, $3 how many; the newest first
select sort, name, first_seen, last_seen from release
where first_seen >= $1 and first_seen <= $2 order by first_seen desc limit $3

-- name: queues
-- $1 the first bucket to look at; answers about one sample a minute since then (two, for one may be missing), and from
-- $2 on all of them
select queue_id, bucket, ready, delayed, running, parked, held, dead, oldest_ms, paused from queue_sample
where bucket >= $1 and queue_id > 0 and (bucket % 60 < 20 or bucket >= $2) order by bucket

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
-- $1 seen, $2 id: of the last one of the page before, $3 how many; many may be seen at the same moment
select id, name, root_id, total, state, started_at, finished_at, seen from flow
where (seen, id) < ($1, $2) order by seen desc, id desc limit $3

-- name: flows_in
-- $1 state, $2 seen, $3 id: of the last one of the page before, $4 how many
select id, name, root_id, total, state, started_at, finished_at, seen from flow
where state = $1 and (seen, id) < ($2, $3) order by seen desc, id desc limit $4

-- name: flow
-- $1 id
select id, name, root_id, total, state, started_at, finished_at, seen from flow where id = $1

-- name: flow_counts
-- $1 flow
select state, n from flow_count where flow_id = $1 and n > 0

-- name: flow_jobs
-- $1 flow, $2 how many
select seq, id, task_id, queue_id, worker_id, state, attempt, crashes, priority, sent_at, eta, started_at, finished_at,
    wait_ms, run_ms, error_id, flow_id, retry_of, progress, change
from job where flow_id = $1 order by seq desc limit $2

-- name: flow_of_job
-- $1 id of a job; answers its flow
select flow_id from job where id = $1 and flow_id is not null

-- name: flow_kept
-- $1 flow, $2 seq, $3 how many; its jobs behind that seq with what they can be sent again with
select j.seq, j.id, j.task_id, j.queue_id, b.envelope from job j left join job_body b on b.seq = j.seq
where j.flow_id = $1 and j.seq > $2 order by j.seq limit $3

-- name: flow_origin
-- $1 flow; answers the flow of the job that its first one repeats
select j.flow_id from job j
where j.id = (select f.retry_of from job f where f.flow_id = $1 order by f.seq limit 1) and j.flow_id is not null

-- name: flow_repeats
-- $1 flow, $2 how many; answers the flows of jobs that repeat its first one
select j.flow_id from job j
where j.retry_of = (select f.id from job f where f.flow_id = $1 order by f.seq limit 1) and j.flow_id is not null
order by j.seq desc limit $2

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
