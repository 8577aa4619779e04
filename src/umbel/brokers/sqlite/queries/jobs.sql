-- jobs: stop single jobs, show them, and pause queues. A waiting job has state 0 (ready), 3
-- (parked), 4 (delayed) or 5 (held by a limit).

-- name: find
-- ?1 id; answers key, id of the session that holds it (or null), and what makes a delivery, wherever the job is
select seq, (select session.id from session where session.key = job.session),
    queue, state, due, id, level, envelope, retries, crashes, losses, marked, doom, back
from job where id = ?1

-- name: held
-- ?1 session id, ?2 queue, ?3 limit; answers the jobs that it holds there as `find` does
select seq, session.id, job.queue, state, due, job.id, level, envelope, retries, crashes, losses, marked, doom, back
from session cross join job on job.session = session.key and job.state = 1
where session.id = ?1 and session.queue = ?2 limit ?3

-- name: ready
-- ?2 queue, ?3 limit; answers ready jobs as `find` does
select seq, null, queue, state, due, id, level, envelope, retries, crashes, losses, marked, doom, back from job
where queue = ?2 and state = 0 order by level, position limit ?3

-- name: delayed
-- ?2 queue, ?3 limit; answers delayed jobs as `find` does
select seq, null, queue, state, due, id, level, envelope, retries, crashes, losses, marked, doom, back from job
where queue = ?2 and state = 4 order by due limit ?3

-- name: parked
-- ?2 queue, ?3 limit; answers parked jobs as `find` does
select seq, null, queue, state, due, id, level, envelope, retries, crashes, losses, marked, doom, back from job
where queue = ?2 and state = 3 order by task limit ?3

-- name: limited
-- ?2 queue, ?3 limit; answers jobs that a limit holds as `find` does
select seq, null, queue, state, due, id, level, envelope, retries, crashes, losses, marked, doom, back from job
where queue = ?2 and state = 5 limit ?3

-- name: session
-- ?1 session id, ?2 queue; answers key and end (unix ms, null while it is open) of a session that is or was open there
select key, ended from session where id = ?1 and queue = ?2

-- name: open
-- ?1 session id, ?2 queue, ?3 end of lease (ms), ?4 boot, ?5 lifeline; its first receive is over; answers its key
insert into session(id, queue, until, boot, lifeline, info, received) values (?1, ?2, ?3, ?4, ?5, x'', 1) returning key

-- name: seize
-- ?1 session key, ?2 doom, ?3 key of a waiting job; a doom that it has stays
update job set state = 1, session = ?1, number = 1, due = 0, task = null, doom = case doom when 0 then ?2 else doom end
where seq = ?3

-- name: doom
-- ?1 doom, ?2 key of a job that somebody holds; a doom that it has stays
update job set doom = ?1 where seq = ?2 and doom = 0

-- name: revive
-- ?1 id, ?2 queue, ?3 position; a row if it was a dead letter
update job set state = 0, position = ?3, due = 0, retries = 0, crashes = 0, losses = 0, marked = 0, doom = 0, note = null
where id = ?1 and queue = ?2 and state = 2 returning 1

-- name: unrecord
-- ?1 id; its record
delete from result where id = ?1

-- name: discard
-- ?1 id, ?2 queue; a row if it was a dead letter
delete from job where id = ?1 and queue = ?2 and state = 2 returning 1

-- name: pause
-- ?1 queue, ?2 whether nobody is to receive from it
insert into queue(name, paused) values (?1, ?2) on conflict(name) do update set paused = excluded.paused

-- name: paused
-- ?1 queue; answers a row if it is paused
select 1 from queue where name = ?1 and paused = 1

-- name: note
-- ?1 job id, ?2 and ?3 the fence (see settle), ?4 note; a row if it was ours
update job set note = ?4 where id = ?1 and session = ?2 and number = ?3 and state = 1 returning 1

-- name: amend
-- ?1 job id, ?2 and ?3 the fence (see settle), ?4 envelope; a row if it was ours
update job set envelope = ?4 where id = ?1 and session = ?2 and number = ?3 and state = 1 returning 1
