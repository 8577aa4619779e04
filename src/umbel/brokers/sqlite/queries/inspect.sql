-- inspect: where jobs are. Reads only.

-- name: queues
-- answers all names, sorted
select name from queue order by name

-- name: counts
-- ?1 queue, ?2 now in unix ms; answers ready, delayed, due (delayed jobs that are ready now), running, parked, dead, held
select
    (select count(*) from job where queue = ?1 and state = 0),
    (select count(*) from job where queue = ?1 and state = 4),
    (select count(*) from job where queue = ?1 and state = 4 and due <= ?2),
    (select count(*) from job where queue = ?1 and state = 1),
    (select count(*) from job where queue = ?1 and state = 3),
    (select count(*) from job where queue = ?1 and state = 2),
    (select count(*) from job where queue = ?1 and state = 5)

-- name: first
-- ?1 queue, ?2 level; answers position and envelope of the job that is ready there for longest
select position, envelope from job where queue = ?1 and level = ?2 and state = 0 order by position limit 1

-- name: first_due
-- ?1 queue, ?2 now in unix ms; answers the envelope of the delayed job that has been due for longest
select envelope from job where queue = ?1 and state = 4 and due <= ?2 order by due limit 1

-- name: sessions
-- ?1 queue; answers key, id, info, end of lease (ms) of sessions that are open there
select key, id, info, until from session where queue = ?1 and ended is null order by key

-- name: held
-- ?1 session key; answers the ids of the jobs it holds
select id from job where session = ?1 and state = 1 order by seq

-- name: job
-- ?1 id; answers queue, state, due, retries, doom, note
select queue, state, due, retries, doom, note from job where id = ?1

-- name: ended
-- ?1 id, ?2 now in unix ms; answers a row if the job has ended
select 1 from result where id = ?1 and expires > ?2
