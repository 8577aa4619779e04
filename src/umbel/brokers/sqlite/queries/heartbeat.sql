-- heartbeat: open sessions and renew their leases

-- name: open
-- ?1 session id, ?2 end of lease (ms), ?3 boot, ?4 lifeline, ?5 queues (JSON), ?6 info; no row if it is or was open
insert into session(id, until, boot, lifeline, queues, info) values (?1, ?2, ?3, ?4, ?5, ?6)
on conflict(id) do nothing returning key

-- name: renew
-- ?1 session id, ?2 end of lease (ms), ?3 info; no row if it is dead
update session set until = ?2, info = ?3 where id = ?1 and ended is null returning key
