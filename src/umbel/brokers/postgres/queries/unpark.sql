-- unpark: make ready again what waited for a worker that knows its task

-- name: unpark
-- $1 queues, $2 tasks, $3 how many; the oldest first. Answers queues, once a job.
update umbel.job set state = 0, task = null
where id = any(array(
    select id from umbel.job where queue = any($1::text[]) and state = 3 and task = any($2::text[])
    order by run_at, seq limit $3::int4 for no key update skip locked
))
returning queue
