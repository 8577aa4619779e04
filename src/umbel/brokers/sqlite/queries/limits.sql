-- limits: who is held, who has a place, who has a key. Times are in unix ms, intervals in seconds.

-- name: gate
-- ?1 queue, ?2 task, ?3 name; answers the limit: key, what its jobs say, what was said instead, due, alarm, ring, out, in
select key, limit_gate.concurrency, limit_gate.interval, limit_gate.burst,
    limit_adjusted.concurrency, limit_adjusted.interval, limit_adjusted.burst, due, alarm, ring, outside, entered
from limit_gate left join limit_adjusted using (queue, task)
where queue = ?1 and task = ?2 and name = ?3

-- name: gate_by_key
-- ?1 key; answers the limit as `gate` does, and then queue, task, name
select key, limit_gate.concurrency, limit_gate.interval, limit_gate.burst,
    limit_adjusted.concurrency, limit_adjusted.interval, limit_adjusted.burst, due, alarm, ring, outside, entered,
    limit_gate.queue, limit_gate.task, name
from limit_gate left join limit_adjusted using (queue, task)
where key = ?1

-- name: new_gate
-- ?1 queue, ?2 task, ?3 name, ?4 ?5 ?6 what its jobs say
insert into limit_gate(queue, task, name, concurrency, interval, burst) values (?1, ?2, ?3, ?4, ?5, ?6)

-- name: told
-- ?1 key, ?2 ?3 ?4 what its jobs say now
update limit_gate set concurrency = ?2, interval = ?3, burst = ?4 where key = ?1

-- name: save
-- ?1 key, ?2 due, ?3 alarm, ?4 ring, ?5 out, ?6 in
update limit_gate set due = ?2, alarm = ?3, ring = ?4, outside = ?5, entered = ?6 where key = ?1

-- name: rung
-- ?1 queue, ?2 now, ?3 limit; answers the keys of limits that have something to release
select key from limit_gate where queue = ?1 and alarm <= ?2 order by alarm limit ?3

-- name: next_alarm
-- ?1 queue; answers when its first limit has something to release, or null
select min(alarm) from limit_gate where queue = ?1 and alarm is not null

-- name: of_task
-- ?1 queue, ?2 task; answers the keys of its limits
select key from limit_gate where queue = ?1 and task = ?2

-- name: is_held
-- ?1 queue, ?2 limit; answers a row if a job is held
select 1 from job where queue = ?1 and gate = ?2 and state = 5 limit 1

-- name: turn
-- ?1 limit, ?2 name or null; answers key and waits
select key, waits from limit_turn where gate = ?1 and name is ?2

-- name: new_turn
-- ?1 limit, ?2 name or null, ?3 position; answers its key
insert into limit_turn(gate, name, position) values (?1, ?2, ?3) returning key

-- name: next
-- ?1 queue, ?2 limit; answers the turn whose turn it is, and the key of the job that leaves it next (or null)
select key, (
    select seq from job where queue = ?1 and gate = ?2 and turn = limit_turn.key and state = 5
    order by level, position limit 1
)
from limit_turn where gate = ?2 and waits = 1 order by position limit 1

-- name: next_of
-- ?1 queue, ?2 limit, ?3 turn, ?4 number; answers the key of the job that leaves the turn next, if fewer are out
select seq from job where queue = ?1 and gate = ?2 and turn = ?3 and state = 5
    and (select outside from limit_turn where key = ?3) < ?4
order by level, position limit 1

-- name: wait
-- ?1 turn, ?2 position; it is the last of the round if none of its jobs is out, or if it is nobody's
update limit_turn set waits = 1, position = ?2 where key = ?1 and waits = 0 and (outside = 0 or name is null)

-- name: served
-- ?1 turn, ?2 position, ?3 queue; one of its jobs is out, and unless it is nobody's no other one can be
update limit_turn set outside = outside + 1, position = ?2, waits = name is null where key = ?1

-- name: returned
-- ?1 turn, ?2 position, ?3 queue; one of its jobs is out no longer, and if it was the only one and the turn has more it is the
-- last of the round; answers whether it has or another one is out
update limit_turn set outside = outside - 1, position = ?2,
    waits = (outside = 1 or name is null) and exists (
        select 1 from job
        where job.queue = ?3 and job.gate = limit_turn.gate and job.turn = limit_turn.key and job.state = 5
    )
where key = ?1 returning waits or outside > 0

-- name: pass
-- ?1 turn; it has no job to release
update limit_turn set waits = 0 where key = ?1

-- name: drop_turn
-- ?1 turn; forgotten if none of its jobs is out
delete from limit_turn where key = ?1 and outside = 0

-- name: release
-- ?1 position, ?2 key of a held job; answers its id
update job set state = 0, position = ?1 where seq = ?2 returning id

-- name: place
-- ?1 queue, ?2 id; answers limit, turn (null: it is in), retries
select gate, turn, retries from limit_place where queue = ?1 and id = ?2

-- name: put
-- ?1 queue, ?2 id, ?3 limit, ?4 turn or null, ?5 retries
insert or replace into limit_place(queue, id, gate, turn, retries) values (?1, ?2, ?3, ?4, ?5)

-- name: enter
-- ?1 queue, ?2 id, ?3 retries; a job that is out is in
update limit_place set turn = null, retries = ?3 where queue = ?1 and id = ?2

-- name: forget
-- ?1 queue, ?2 id; answers limit and turn
delete from limit_place where queue = ?1 and id = ?2 returning gate, turn

-- name: leave
-- ?1 queue, ?2 id; as `forget`, if its job is neither ready nor running
delete from limit_place where queue = ?1 and id = ?2
    and not exists (select 1 from job where job.id = ?2 and job.queue = ?1 and state in (0, 1))
returning gate, turn

-- name: prune
-- ?1 queue; all whose job is neither ready nor running; answers limit and turn of each
delete from limit_place where queue = ?1
    and not exists (select 1 from job where job.id = limit_place.id and job.queue = ?1 and state in (0, 1))
returning gate, turn

-- name: known
-- ?1 id, ?2 now, ?3 queue; answers whether there is such a job or it has ended lately, and whether it has a place
select exists (select 1 from job where id = ?1) or exists (select 1 from result where id = ?1 and expires > ?2),
    exists (select 1 from limit_place where queue = ?3 and id = ?1)

-- name: insert
-- ?1 id, ?2 queue, ?3 level, ?4 position, ?5 envelope, ?6 limit, ?7 turn; a new job that is held
insert into job(id, queue, level, state, position, due, envelope, gate, turn) values (?1, ?2, ?3, 5, ?4, 0, ?5, ?6, ?7)

-- name: job
-- ?1 id, ?2 queue, ?3 and ?4 the fence: session key and number; answers whether it is ours, key, retries, doom and state
select state = 1 and session = ?3 and number = ?4, seq, retries, doom, state from job where id = ?1 and queue = ?2

-- name: hold
-- ?1 key of a job that a session holds, ?2 state (5, or 0 for a doomed one), ?3 position, ?4 limit, ?5 turn
update job set state = ?2, position = ?3, gate = ?4, turn = ?5, session = null, number = null, back = 1, marked = 0
where seq = ?1

-- name: length
-- ?1 queue, ?2 limit; answers how many of its jobs have not ended, of each state at most so many
select (select count(*) from (select 1 from job where queue = ?1 and state = 0 limit ?2))
    + (select count(*) from (select 1 from job where queue = ?1 and state = 1 limit ?2))
    + (select count(*) from (select 1 from job where queue = ?1 and state = 3 limit ?2))
    + (select count(*) from (select 1 from job where queue = ?1 and state = 4 limit ?2))
    + (select count(*) from (select 1 from job where queue = ?1 and state = 5 limit ?2))

-- name: keeper
-- ?1 queue, ?2 key, ?3 now; answers id, until, started of the job that has it
select id, until, started from unique_key where queue = ?1 and name = ?2
    and case when until is null then exists (select 1 from job where job.id = unique_key.id and queue = ?1 and state <> 2)
        else until > ?3 end

-- name: keep
-- ?1 queue, ?2 key, ?3 id, ?4 until or null, ?5 started
insert or replace into unique_key(queue, name, id, until, started) values (?1, ?2, ?3, ?4, ?5)

-- name: free
-- ?1 queue, ?2 key, ?3 id of the job that lets it go
delete from unique_key where queue = ?1 and name = ?2 and id = ?3

-- name: adjust
-- ?1 queue, ?2 task, ?3 ?4 ?5 what its limits allow
insert or replace into limit_adjusted(queue, task, concurrency, interval, burst) values (?1, ?2, ?3, ?4, ?5)

-- name: unadjust
-- ?1 queue, ?2 task
delete from limit_adjusted where queue = ?1 and task = ?2

-- name: adjusted
-- answers queue and task of all that are adjusted
select queue, task from limit_adjusted

-- name: standings
-- ?1 queue, ?2 limit, after ?3 task and ?4 name; answers, by task and name, task, name, whether it is a limit or only an
-- adjustment, the paces as `gate` does, held, out, in, turns
select task, name, told, c, i, b, limit_adjusted.concurrency, limit_adjusted.interval, limit_adjusted.burst,
    held, outside, entered, turns
from (
    select * from (
        select queue, task, name, 1 as told, concurrency as c, interval as i, burst as b, outside, entered,
            (select count(*) from job where job.queue = ?1 and job.gate = limit_gate.key and state = 5) as held,
            (select count(distinct turn) from job where job.queue = ?1 and job.gate = limit_gate.key and state = 5) as turns
        from limit_gate
        where queue = ?1 and (task, name) > (?3, ?4) and (outside > 0 or entered > 0
            or exists (select 1 from job where job.queue = ?1 and job.gate = limit_gate.key and state = 5))
        order by task, name limit ?2
    )
    union all
    select queue, task, '', 0, 0, 0.0, 1, 0, 0, 0, 0
    from limit_adjusted as lone
    where queue = ?1 and (task, '') > (?3, ?4) and not exists (
        select 1 from limit_gate where limit_gate.queue = ?1 and limit_gate.task = lone.task and (outside > 0 or entered > 0
            or exists (select 1 from job where job.queue = ?1 and job.gate = limit_gate.key and state = 5)))
) left join limit_adjusted using (queue, task)
order by task, name limit ?2

-- name: gates_after
-- ?1 key, ?2 limit; answers the keys of the limits after it, and whether nothing would be different without: ?3 now
select key, outside = 0 and entered = 0 and due + (burst - 1) * interval * 1000 <= ?3
    and not exists (select 1 from job where job.queue = limit_gate.queue and job.gate = limit_gate.key and state = 5)
from limit_gate where key > ?1 order by key limit ?2

-- name: drop_turns
-- ?1 limit; all its turns
delete from limit_turn where gate = ?1

-- name: drop_gate
-- ?1 limit
delete from limit_gate where key = ?1

-- name: keys_after
-- ?1 queue and ?2 key, ?3 limit, ?4 now; answers queue and key of those after it, and whether nobody has it
select queue, name, case when until is null
        then not exists (select 1 from job where job.id = unique_key.id and job.queue = unique_key.queue and state <> 2)
        else until <= ?4 end
from unique_key where (queue, name) > (?1, ?2) order by queue, name limit ?3

-- name: drop_key
-- ?1 queue, ?2 key
delete from unique_key where queue = ?1 and name = ?2
