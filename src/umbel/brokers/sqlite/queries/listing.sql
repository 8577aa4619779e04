-- listing: the jobs of one place, in pages. Each answers id, level, envelope, retries, crashes, losses, marked, doom,
-- note, when (unix ms or null), session, task, and the cursor from which to go on: the last of the bindings, in order.

-- name: ready
-- ?1 queue, ?2 limit, after ?3 level, ?4 position, ?5 key
select id, level, envelope, retries, crashes, losses, marked, doom, note, null, '', '',
    level || ':' || position || ':' || seq
from job where queue = ?1 and state = 0 and (level, position, seq) > (?3, ?4, ?5)
order by level, position, seq limit ?2

-- name: delayed
-- ?1 queue, ?2 limit, after ?3 due, ?4 key
select id, level, envelope, retries, crashes, losses, marked, doom, note, due, '', '', due || ':' || seq
from job where queue = ?1 and state = 4 and (due, seq) > (?3, ?4)
order by due, seq limit ?2

-- name: held
-- ?1 queue, ?2 limit, after ?3 limit that holds it, ?4 turn, ?5 level, ?6 position, ?7 key
select id, level, envelope, retries, crashes, losses, marked, doom, note, null, '', '',
    gate || ':' || turn || ':' || level || ':' || position || ':' || seq
from job where queue = ?1 and state = 5 and (gate, turn, level, position, seq) > (?3, ?4, ?5, ?6, ?7)
order by gate, turn, level, position, seq limit ?2

-- name: running
-- ?1 queue, ?2 limit, after ?3 session key, ?4 key
select job.id, level, envelope, retries, crashes, losses, marked, doom, note, null, session.id, '',
    session.key || ':' || seq
from session cross join job on job.session = session.key and job.state = 1
where session.queue = ?1 and (session.key, seq) > (?3, ?4)
order by session.key, seq limit ?2

-- name: parked
-- ?1 queue, ?2 limit, after ?4 task, ?3 key
select id, level, envelope, retries, crashes, losses, marked, doom, note, null, '', task, seq || ':' || task
from job where queue = ?1 and state = 3 and (task, seq) > (?4, ?3)
order by task, seq limit ?2

-- name: dead
-- ?1 queue, ?2 limit, after ?3 when it was buried, ?4 key
select id, level, envelope, retries, crashes, losses, marked, doom, note, due, '', '', due || ':' || seq
from job where queue = ?1 and state = 2 and (due, seq) > (?3, ?4)
order by due, seq limit ?2
