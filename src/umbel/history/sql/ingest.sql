-- ingest: what a recorder reads and writes, on every engine.

-- name: counters
select name, value from counter

-- name: count
-- $1 a counter, $2 its value
update counter set value = $2 where name = $1

-- name: gap
-- $1 source, $2 number; answers the gap that the number is in
select first, last, at, opening from gap where source = $1 and first <= $2 and last >= $2

-- name: drop_gap
-- $1 source, $2 first number
delete from gap where source = $1 and first = $2

-- name: put_gap
-- $1 source, $2 first, $3 last number, $4 when it was found, $5 whether it is before all that is known of the source
insert into gap (source, first, last, at, opening) values ($1, $2, $3, $4, $5)

-- name: meta
-- $1 key
select value from meta where key = $1

-- name: put_meta
-- $1 key, $2 value
insert into meta (key, value) values ($1, $2) on conflict (key) do update set value = excluded.value

-- name: error
-- $1 id, $2 fingerprint, $3 type, $4 template, $5 frame, $6 at: of a new one
insert into error (id, fingerprint, type, template, frame, first_seen, last_seen, n, last_seq)
values ($1, $2, $3, $4, $5, $6, $6, 0, 0)

-- name: error_again
-- $1 id, $2 how often more, $3 first and $4 last moment, $5 seq of the newest job
update error set n = n + $2, first_seen = case when first_seen < $3 then first_seen else $3 end,
    last_seen = case when last_seen > $4 then last_seen else $4 end,
    last_seq = case when last_seq > $5 then last_seq else $5 end,
    status = case when status = 'resolved' and $4 > coalesce(triaged_at, 0) then 'regressed' else status end
where id = $1

-- name: error_minute
-- $1 minute, $2 error, $3 how often more
insert into error_minute (minute, error_id, n) values ($1, $2, $3)
on conflict (minute, error_id) do update set n = error_minute.n + excluded.n

-- name: error_hour
-- $1 hour, $2 error, $3 how often more
insert into error_hour (hour, error_id, n) values ($1, $2, $3)
on conflict (hour, error_id) do update set n = error_hour.n + excluded.n

-- name: minute
-- $1 minute, $2 least and $3 greatest seq
insert into minute (minute, first, last) values ($1, $2, $3)
on conflict (minute) do update set
    first = case when minute.first < excluded.first then minute.first else excluded.first end,
    last = case when minute.last > excluded.last then minute.last else excluded.last end

-- name: worker
-- $1 worker, $2 host, $3 pid, $4 version, $5 queues, $6 slots, $7 used, $8 rss, $9 cpu, $10 jobs, $11 processed,
-- $12 started, $13 seen, $14 stopped: what is null is not known; what was seen earlier changes nothing
insert into worker (worker_id, host, pid, version, queues, slots, used, rss, cpu, jobs, processed, started, seen, stopped)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
on conflict (worker_id) do update set host = excluded.host, pid = excluded.pid,
    version = case when excluded.version = '' then worker.version else excluded.version end,
    queues = case when excluded.queues = '' then worker.queues else excluded.queues end,
    slots = coalesce(excluded.slots, worker.slots), used = excluded.used, rss = excluded.rss, cpu = excluded.cpu,
    jobs = excluded.jobs, processed = excluded.processed, started = coalesce(excluded.started, worker.started),
    seen = excluded.seen, stopped = excluded.stopped
where excluded.seen >= worker.seen

-- name: signature
-- $1 task, $2 names of its parameters, as JSON
insert into signature (task_id, parameters) values ($1, $2)
on conflict (task_id) do update set parameters = excluded.parameters

-- name: release
-- $1 sort, $2 name, $3 at
insert into release (sort, name, first_seen, last_seen) values ($1, $2, $3, $3)
on conflict (sort, name) do update set
    first_seen = case when release.first_seen < excluded.first_seen then release.first_seen else excluded.first_seen end,
    last_seen = case when release.last_seen > excluded.last_seen then release.last_seen else excluded.last_seen end

-- name: worker_release
-- $1 worker, $2 at, $3 what the app calls the release that the worker runs then (empty: it does not say)
insert into worker_release (worker_id, at, release)
select cast($1 as bigint), cast($2 as double precision), cast($3 as text) where $3 <> coalesce((
    select release from worker_release where worker_id = $1 and at <= $2 order by at desc limit 1
), '')
on conflict (worker_id, at) do nothing

-- name: schedule_run
-- $1 schedule, $2 tick, $3 job, $4 when it was sent
insert into schedule_run (schedule, tick, job_id, at) values ($1, $2, $3, $4) on conflict do nothing

-- name: flow_started
-- $1 flow, $2 name, $3 root, $4 total, $5 at, $6 now
insert into flow (id, name, root_id, total, state, started_at, seen) values ($1, $2, $3, $4, 'running', $5, $6)
on conflict (id) do update set name = excluded.name, root_id = excluded.root_id,
    total = coalesce(excluded.total, flow.total), started_at = excluded.started_at, seen = excluded.seen

-- name: flow_ended
-- $1 flow, $2 state, $3 at, $4 now
insert into flow (id, name, state, finished_at, seen) values ($1, '', $2, $3, $4)
on conflict (id) do update set state = excluded.state, finished_at = excluded.finished_at, seen = excluded.seen
where flow.finished_at is null

-- name: queue_sample
-- $1 queue, $2 bucket, then ready, delayed, running, parked, held, dead, age of the oldest in ms, paused
insert into queue_sample (queue_id, bucket, ready, delayed, running, parked, held, dead, oldest_ms, paused)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) on conflict (queue_id, bucket) do nothing

-- name: audit
-- $1 at, $2 who, $3 origin, $4 what, $5 target, $6 how many, $7 outcome
insert into audit (at, who, origin, what, target, n, outcome) values ($1, $2, $3, $4, $5, $6, $7)
