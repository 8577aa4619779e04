-- unpark: make ready again what waited for a worker that knows its task

-- name: parked
-- ?1 queue, ?2 task; answers the keys of its parked jobs, oldest first
select seq from job where queue = ?1 and task = ?2 and state = 3 order by position, seq

-- name: unpark
-- ?1 position, ?2 key of a parked job
update job set state = 0, position = ?1, task = null where seq = ?2
