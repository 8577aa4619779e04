-- receive: hand out ready jobs; also what makes delayed ones ready

-- name: session
-- ?1 session id; answers queue, key and last receive number for each queue in which it is alive
select queue, key, received from session where id = ?1 and ended is null

-- name: open
-- ?1 session id; answers queue, key, last receive number, whether the queue is paused, and when a limit of it has
-- something to release (unix ms, or null), as `session` does
select queue, key, received, (select paused from queue where name = session.queue),
    (select min(alarm) from limit_gate where limit_gate.queue = session.queue and alarm is not null)
from session where id = ?1 and ended is null

-- name: next_due
-- ?1 queue; answers when its first delayed job is due (unix ms), or null
select min(due) from job where queue = ?1 and state = 4

-- name: due
-- ?1 queue, ?2 now in unix ms, ?3 limit; answers the keys of delayed jobs that are due, earliest first
select seq from job where queue = ?1 and state = 4 and due <= ?2 order by due, seq limit ?3

-- name: promote
-- ?1 position, ?2 key of a due job
update job set state = 0, position = ?1, due = 0 where seq = ?2

-- name: ready
-- ?1 queue, ?2 limit; answers key and level, most urgent and then oldest first; reads the index alone
select seq, level from job where queue = ?1 and state = 0 order by level, position limit ?2

-- name: take
-- ?1 session key, ?2 receive number, ?3 key of a ready job; answers what makes a delivery
update job set state = 1, session = ?1, number = ?2 where seq = ?3
returning id, queue, level, envelope, retries, crashes, losses, marked, doom, back

-- name: received
-- ?1 receive number, ?2 session key
update session set received = ?1 where key = ?2

-- name: left
-- ?1 queue; answers a row if a job is ready there
select 1 from job where queue = ?1 and state = 0 limit 1
