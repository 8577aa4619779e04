-- pulse: how busy tasks were over time, for SQLite.

-- name: tasks
-- $1 tasks, $2 span, $3 seconds of a step, $4 first bucket, $5 last bucket; answers for each task and step how many jobs
-- ended
select r.task_id, r.bucket / $3 * $3, cast(sum(r.succeeded + r.failed + r.revoked + r.dead) as bigint)
from json_each($1) as wanted cross join rollup r
where r.span = $2 and r.task_id = wanted.value and r.queue_id = 0 and r.bucket >= $4 and r.bucket <= $5
group by r.task_id, r.bucket / $3
