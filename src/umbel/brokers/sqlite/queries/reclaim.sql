-- reclaim and reconcile: return what a session holds to the front of its level; and clean up

-- name: contact
-- ?1 queue; answers when a supervisor last looked after it, and until when no lease may end (ms of the lease clock)
select seen, hold from queue where name = ?1

-- name: note
-- ?1 queue, ?2 now and ?3 the new hold in ms of the lease clock
insert into queue(name, seen, hold) values (?1, ?2, ?3)
on conflict(name) do update set seen = excluded.seen, hold = excluded.hold

-- name: cut
-- ?1 queue, ?2 end of a lease in ms; a lease that ends later than this was set by a clock that has been set back since
update session set until = ?2 where queue = ?1 and ended is null and until > ?2

-- name: sessions
-- ?1 queue; answers key, id, end of lease (ms), boot, lifeline, ended of sessions that are open, or dead with jobs left.
-- Who has jobs is looked for among the jobs, from session to session: of the dead ones there are many.
with recursive holder(key) as (
    select min(session) from job where state = 1
    union all
    select (select min(session) from job where state = 1 and session > holder.key) from holder where key is not null
)
select key, id, until, boot, lifeline, ended from session where queue = ?1 and ended is null
union all
select session.key, id, until, boot, lifeline, ended
from holder cross join session on session.key = holder.key
where session.queue = ?1 and session.ended is not null

-- name: bury
-- ?1 now in unix ms, ?2 session key; it is dead from now on and settles nothing, even before its jobs were returned
update session set ended = ?1 where key = ?2 and ended is null

-- name: held
-- ?1 session key, ?2 limit; answers key, id, number, mark of jobs it holds
select seq, id, number, marked from job where session = ?1 and state = 1 limit ?2

-- name: back
-- ?1 crashes and ?2 losses to charge, ?3 key of a held job; its old position puts it in front of all that came later
update job set state = 0, session = null, number = null, back = 1,
    crashes = crashes + ?1, losses = losses + ?2, marked = 0
where seq = ?3

-- name: doom
-- ?1 doom, ?2 job id, ?3 session key; a doom that it has stays
update job set doom = ?1 where id = ?2 and session = ?3 and state = 1 and doom = 0

-- name: lifelines
-- answers the lifelines of all open sessions
select distinct lifeline from session where ended is null

-- name: forget
-- ?1 and ?2 unix ms, ?1 before ?2; sessions that died before ?1, and those that only stopped jobs before ?2: nobody names
-- them again
delete from session
where ended < ?2 and (info = x'' or ended < ?1)
    and not exists (select 1 from job where job.session = session.key and state = 1)

-- name: expire
-- ?1 now in unix ms, ?2 limit; answers a row for each record deleted
delete from result where id in (select id from result where expires <= ?1 limit ?2) returning 1

-- name: expire_claims
-- ?1 now in unix ms, ?2 limit
delete from claim where id in (select id from claim where expires <= ?1 limit ?2)

-- name: trim
-- ?1 queue, ?2 unix ms, ?3 how many; dead letters that died before, and the oldest beyond that many
delete from job where seq in (
    select seq from job where queue = ?1 and state = 2 and due < ?2
    union all
    select seq from (select seq from job where queue = ?1 and state = 2 order by due desc limit 1000 offset ?3)
)
