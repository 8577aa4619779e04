-- depths: how full queues were over time.

-- name: together
-- $1 seconds of a step, $2 first bucket, $3 last bucket; answers what all queues held in each step, in the mean, and the
-- greatest age of a job that was ready
select bucket / $1 * $1, avg(ready), avg(delayed), avg(running), avg(held), max(oldest_ms) from queue_sample
where queue_id = 0 and bucket >= $2 and bucket <= $3 group by bucket / $1 order by 1
