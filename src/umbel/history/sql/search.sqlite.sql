-- search: what SQLite says in its own way, see search.sql. Which index is read is not left to it: without statistics it
-- takes any that fits.

-- name: by_state
indexed by job_state

-- name: by_task
indexed by job_task

-- name: by_queue
indexed by job_queue

-- name: by_worker
indexed by job_worker

-- name: by_group
indexed by job_error

-- name: by_flow
indexed by job_flow

-- name: by_root
indexed by job_root

-- name: by_parent
indexed by job_parent

-- name: by_retry_of
indexed by job_retry_of

-- name: by_schedule
indexed by job_schedule

-- name: in_state
+j.state in (select value from json_each($1))

-- name: in_task
+j.task_id in (select value from json_each($1))

-- name: in_queue
+j.queue_id in (select value from json_each($1))

-- name: in_worker
+j.worker_id in (select value from json_each($1))

-- name: in_group
coalesce(j.error_id, 0) in (select value from json_each($1))

-- name: words
-- $1 words as a pattern of LIKE, which takes half the time of instr(lower())
j.id like $1 escape '\' or (
    select 1 from job_body b where b.seq = j.seq and (b.args like $1 escape '\' or b.kwargs like $1 escape '\')
) is not null
or (select 1 from job_result r where r.seq = j.seq and r.result like $1 escape '\') is not null

-- name: states_of_task
-- $1 tasks, $2 states; answers those of which there are jobs
select wanted.value, states.value from json_each($1) as wanted cross join json_each($2) as states
where exists (
    select 1 from job j indexed by job_task where j.task_id = wanted.value and j.state = states.value
)

-- name: states_of_queue
-- $1 queues, $2 states; answers those of which there are jobs
select wanted.value, states.value from json_each($1) as wanted cross join json_each($2) as states
where exists (
    select 1 from job j indexed by job_queue where j.queue_id = wanted.value and j.state = states.value
)
