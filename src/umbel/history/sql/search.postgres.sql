-- search: what PostgreSQL says in its own way, see search.sql.

-- name: in_state
+j.state = any($1::int8[])

-- name: in_task
+j.task_id = any($1::int8[])

-- name: in_queue
+j.queue_id = any($1::int8[])

-- name: in_worker
+j.worker_id = any($1::int8[])

-- name: in_group
coalesce(j.error_id, 0) = any($1::int8[])

-- name: words
-- $1 words in lower case; $2 tasks, $3 groups of errors whose names have them
strpos(lower(j.id), $1::text) > 0 or +j.task_id = any($2::int8[])
or coalesce(j.error_id, 0) = any($3::int8[])
or exists (
    select 1 from job_body b where b.seq = j.seq and (
        strpos(lower(b.args), $1::text) > 0 or strpos(lower(b.kwargs), $1::text) > 0
    )
)
or exists (select 1 from job_result r where r.seq = j.seq and strpos(lower(r.result), $1::text) > 0)

-- name: states_of_task
-- $1 tasks, $2 states; answers those of which there are jobs. Looked up one by one: a join might read all
select wanted.id, states.code from unnest($1::int8[]) as wanted (id) cross join unnest($2::int8[]) as states (code)
cross join lateral (select 1 from job j where j.task_id = wanted.id and j.state = states.code limit 1) as one

-- name: states_of_queue
-- $1 queues, $2 states; answers those of which there are jobs. Looked up one by one: a join might read all
select wanted.id, states.code from unnest($1::int8[]) as wanted (id) cross join unnest($2::int8[]) as states (code)
cross join lateral (select 1 from job j where j.queue_id = wanted.id and j.state = states.code limit 1) as one
