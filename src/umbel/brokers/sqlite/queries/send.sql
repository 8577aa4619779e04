-- send: accept a job unless its id is known; the same for follow-ups

-- name: earliest
-- ?1 queue; answers when its first delayed job is due (unix ms), or null
select min(due) from job where queue = ?1 and state = 4

-- name: insert
-- ?1 id, ?2 queue, ?3 level, ?4 state (0 ready, 4 delayed), ?5 position, ?6 due, ?7 envelope, ?8 now in unix ms
insert into job(id, queue, level, state, position, due, envelope)
select ?1, ?2, ?3, ?4, ?5, ?6, ?7 where not exists (select 1 from result where id = ?1 and expires > ?8)
on conflict(id) do nothing

-- name: queue
-- ?1 name; keeps the names of all queues that ever held a job
insert into queue(name) values (?1) on conflict(name) do nothing
