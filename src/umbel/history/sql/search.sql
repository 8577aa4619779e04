-- search: parts of the one query over jobs. A part is put together with others by umbel/history/search.py; the values
-- of each are numbered anew there. A column behind "+" or "|| ''" is compared, and its index is left alone.

-- name: jobs
select j.seq, j.id, j.task_id, j.queue_id, j.worker_id, j.state, j.attempt, j.crashes, j.priority, j.sent_at, j.eta,
    j.started_at, j.finished_at, j.wait_ms, j.run_ms, j.error_id, j.flow_id, j.retry_of, j.progress, j.change
from job j

-- name: jobs_by_argument
select j.seq, j.id, j.task_id, j.queue_id, j.worker_id, j.state, j.attempt, j.crashes, j.priority, j.sent_at, j.eta,
    j.started_at, j.finished_at, j.wait_ms, j.run_ms, j.error_id, j.flow_id, j.retry_of, j.progress, j.change
from arg a cross join job j

-- name: dimensions
select j.seq, j.state, j.task_id, j.queue_id from job j

-- name: dimensions_by_argument
select j.seq, j.state, j.task_id, j.queue_id from arg a cross join job j

-- name: seqs
select j.seq from job j

-- name: seqs_by_argument
select a.seq from arg a

-- name: ones
select 1 as one from job j

-- name: ones_by_argument
select 1 as one from arg a

-- name: joined_by_argument
select 1 as one from arg a cross join job j

-- name: count
-- how many there are of what follows
select count(*) from (

-- name: at_most
-- $1 how many are counted
limit $1) as counted

-- name: between
-- $1 below, $2 at least
j.seq < $1 and j.seq >= $2

-- name: between_by_argument
a.seq < $1 and a.seq >= $2

-- name: newest
-- $1 how many
order by j.seq desc limit $1

-- name: newest_by_argument
order by a.seq desc limit $1

-- name: beyond
-- $1 how many to leave out
order by j.seq desc limit 1 offset $1

-- name: beyond_by_argument
order by a.seq desc limit 1 offset $1

-- name: of_same_job
j.seq = a.seq

-- name: from_all
1 = 1

-- name: from_state
j.state = $1

-- name: from_task
j.task_id = $1 and j.state = $2

-- name: from_queue
j.queue_id = $1 and j.state = $2

-- name: from_worker
j.worker_id = $1 and j.worker_id > 0

-- name: from_group
j.error_id = $1

-- name: from_id
j.id = $1

-- name: from_flow
j.flow_id = $1

-- name: from_root
j.root_id = $1

-- name: from_parent
j.parent_id = $1

-- name: from_retry_of
j.retry_of = $1

-- name: from_schedule
j.schedule = $1

-- name: from_argument
a.path_id = $1 and a.value = $2

-- name: is_argument
-- looked up for each row: of "exists" PostgreSQL may make a table of all there are
(select 1 from arg b where b.path_id = $1 and b.value = $2 and b.seq = j.seq limit 1) is not null

-- name: is_id
j.id || '' = $1

-- name: is_flow
coalesce(j.flow_id, '') = $1

-- name: is_root
coalesce(j.root_id, j.id) = $1

-- name: is_parent
coalesce(j.parent_id, '') = $1

-- name: is_retry_of
coalesce(j.retry_of, '') = $1

-- name: is_schedule
coalesce(j.schedule, '') = $1

-- name: over_attempt
j.attempt > $1

-- name: over_retries
case when j.attempt > 1 then j.attempt - 1 else 0 end > $1

-- name: over_crashes
j.crashes > $1

-- name: over_priority
j.priority > $1

-- name: over_run
coalesce(j.run_ms, -1) > $1

-- name: over_wait
coalesce(j.wait_ms, -1) > $1

-- name: over_sent
j.sent_at > $1

-- name: over_started
coalesce(j.started_at, -1) > $1

-- name: over_finished
coalesce(j.finished_at, -1) > $1

-- name: over_eta
coalesce(j.eta, -1) > $1

-- name: has_run
j.run_ms is not null

-- name: has_wait
j.wait_ms is not null

-- name: has_started
j.started_at is not null

-- name: has_finished
j.finished_at is not null

-- name: has_eta
j.eta is not null

-- name: has_error
coalesce(j.error_id, 0) > 0

-- name: has_progress
j.progress is not null

-- name: has_result
(select 1 from job_result r where r.seq = j.seq) is not null

-- name: nothing
1 = 0

-- name: everything
1 = 1

-- name: since
-- $1 a minute; answers the least seq of the jobs sent in it or later
select min(first) from minute where minute >= $1

-- name: until
-- $1 a minute; answers the greatest seq of the jobs sent in it or before
select max(last) from minute where minute <= $1

-- name: top
select value from counter where name = 'seq'

-- name: names_of
-- $1 sort, $2 how many; answers names with their numbers
select name, id from name where sort = $1 order by name limit $2

-- name: named
-- $1 sort, $2 name
select id from name where sort = $1 and name = $2

-- name: groups_of
-- $1 how many; answers the types of groups of errors, the newest first, with their numbers
select type, id from error order by last_seen desc limit $1
