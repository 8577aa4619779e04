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
-- $1 words as a pattern of LIKE. Looked up for each row: of "exists" PostgreSQL may make a table of all there are.
lower(j.id) like lower($1::text) or (
    select 1 from job_body b where b.seq = j.seq and (
        lower(b.args) like lower($1::text) or lower(b.kwargs) like lower($1::text)
    )
) is not null
or (select 1 from job_result r where r.seq = j.seq and lower(r.result) like lower($1::text)) is not null

-- name: states_of_task
-- $1 tasks, $2 states; answers those of which there are jobs. Looked up one by one: a join might read all
select wanted.id, states.code from unnest($1::int8[]) as wanted (id) cross join unnest($2::int8[]) as states (code)
cross join lateral (select 1 from job j where j.task_id = wanted.id and j.state = states.code limit 1) as one

-- name: states_of_queue
-- $1 queues, $2 states; answers those of which there are jobs. Looked up one by one: a join might read all
select wanted.id, states.code from unnest($1::int8[]) as wanted (id) cross join unnest($2::int8[]) as states (code)
cross join lateral (select 1 from job j where j.queue_id = wanted.id and j.state = states.code limit 1) as one
