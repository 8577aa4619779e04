-- heartbeat: open sessions and renew their leases

-- name: known
-- ?1 session id, ?2 queue; answers a row if the session is or was open there
select 1 from session where id = ?1 and queue = ?2

-- name: open
-- ?1 session id, ?2 queue, ?3 end of lease (ms), ?4 boot, ?5 lifeline, ?6 info
insert into session(id, queue, until, boot, lifeline, info) values (?1, ?2, ?3, ?4, ?5, ?6)

-- name: renew
-- ?1 session id, ?2 queue, ?3 end of lease (ms), ?4 info; no row if it is dead there
update session set until = ?3, info = ?4 where id = ?1 and queue = ?2 and ended is null returning key
