-- pulse: how busy tasks were over time.

-- name: tasks
-- $1 span, $2 seconds of a step, $3 first bucket, $4 last bucket, $5 how many rows; answers for each task and step how
-- many jobs ended
select task_id, bucket / $2 * $2, sum(succeeded + failed + revoked + dead) from rollup
where span = $1 and bucket >= $3 and bucket <= $4 and queue_id = 0 and task_id > 0
group by task_id, bucket / $2 order by 2 desc limit $5
