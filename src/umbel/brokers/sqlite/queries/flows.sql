-- flows: store a flow and open it, count its members' ends, open nodes, tell of it, forget it

-- name: find
-- ?1 id, ?2 now in unix ms; answers key and state of a flow that is not to be forgotten
select key, state from flow where id = ?1 and (forget is null or forget > ?2)

-- name: spent
-- ?1 id; answers the key of a flow of that name
select key from flow where id = ?1

-- name: begin
-- ?1 id, ?2 home, ?3 now and ?4 when to forget it if it is not opened, in unix ms, ?5 ttl in ms, ?6 expires, ?7 plan;
-- answers the key
insert into flow(id, home, state, created, forget, ttl, expires, plan) values (?1, ?2, 0, ?3, ?4, ?5, ?6, ?7)
returning key

-- name: extend
-- ?1 key, ?2 when to forget it, in unix ms
update flow set forget = ?2 where key = ?1 and state = 0

-- name: store
-- ?1 key of a flow that is not open yet, ?2 node, ?3 position, ?4 to ?9 the job; the first one stays
insert into flow_job(flow, node, position, id, queue, priority, delay, eta, envelope)
values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) on conflict do nothing

-- name: open
-- ?1 key of a flow, ?2 now in unix ms, ?3 how many ends it has; a row if it was opened now
update flow set state = 1, created = ?2, forget = null, ends = ?3 where key = ?1 and state = 0 returning 1

-- name: node
-- ?1 key of a flow, ?2 node, ?3 how many members it waits for, ?4 whether it is an end; what members brought before
-- counts; answers whether none is missing
insert into flow_node(flow, key, members, ending, joined, failed)
select ?1, ?2, ?3, ?4, count(*), coalesce(sum(failed), 0) from flow_input where flow = ?1 and node = ?2
returning joined >= members

-- name: waiting
-- ?1 id of a flow, ?2 its home, ?3 node; answers its key and whether the node is an end, if it waits for members
select flow.key, flow_node.ending from flow join flow_node on flow_node.flow = flow.key and flow_node.key = ?3
where flow.id = ?1 and flow.home = ?2 and flow_node.state = 0

-- name: add
-- ?1 key of a flow, ?2 node; it waits for one member more
update flow_node set members = members + 1 where flow = ?1 and key = ?2 and state = 0

-- name: bring
-- ?1 key of a flow, ?2 node, ?3 member, ?4 whether it failed, ?5 its value; answers ?4 if it is the first of its number
insert into flow_input(flow, node, member, failed, value) values (?1, ?2, ?3, ?4, ?5)
on conflict do nothing returning failed

-- name: count
-- ?1 key of a flow, ?2 node, ?3 how many members joined now, ?4 how many of them failed; answers whether none is missing
update flow_node set joined = joined + ?3, failed = failed + ?4 where flow = ?1 and key = ?2
returning joined >= members

-- name: left
-- ?1 key of a flow, ?2 node, ?3 limit; answers its jobs in order
select position, id, queue, priority, delay, eta, envelope from flow_job where flow = ?1 and node = ?2
order by position limit ?3

-- name: sent
-- ?1 key of a flow, ?2 node, ?3 position; jobs up to there are sent
delete from flow_job where flow = ?1 and node = ?2 and position <= ?3

-- name: opened
-- ?1 key of a flow, ?2 node, ?3 state, ?4 now in unix ms
update flow_node set state = ?3, opened = coalesce(opened, ?4) where flow = ?1 and key = ?2

-- name: end_reached
-- ?1 key of a flow; one of its ends has opened; answers how many have not
update flow set ends = ends - 1 where key = ?1 returning ends

-- name: end
-- ?1 key of a flow, ?2 now in unix ms; all of its ends have opened
update flow set ended = ?2, forget = ?2 + ttl, state = case
    when state <> 1 then state
    when exists (select 1 from flow_node where flow = ?1 and ending = 1 and failed > 0) then 3
    else 2 end
where key = ?1

-- name: opening
-- answers key of the flow and node that has opened and has jobs left to send
select flow, key from flow_node where state = 1 order by flow, key limit 1

-- name: revoke
-- ?1 id, ?2 home (null: any); a row if it was running
update flow set state = 4 where id = ?1 and home = coalesce(?2, home) and state = 1 returning 1

-- name: standing
-- ?1 id, ?2 home, ?3 node, ?4 now in unix ms; answers key, state, expires, and of the node how many members failed and
-- when it has opened, in unix ms, or null
select flow.key, flow.state, flow.expires, flow_node.failed, flow_node.opened
from flow join flow_node on flow_node.flow = flow.key and flow_node.key = ?3
where flow.id = ?1 and flow.home = ?2 and flow.state > 0 and (flow.forget is null or flow.forget > ?4)

-- name: page
-- ?1 key of a flow, ?2 node, ?3 the member before, ?4 limit; answers what members brought, in order
select member, value, failed from flow_input where flow = ?1 and node = ?2 and member > ?3 order by member limit ?4

-- name: first_failed
-- ?1 key of a flow, ?2 node; answers what its first failed member brought
select member, value, failed from flow_input where flow = ?1 and node = ?2 and failed = 1 order by member limit 1

-- name: view
-- ?1 id, ?2 home (null: any), ?3 now in unix ms; answers key, id, home, state, created, ended, plan
select key, id, home, state, created, ended, plan from flow
where id = ?1 and home = coalesce(?2, home) and state > 0 and (forget is null or forget > ?3)

-- name: progress
-- ?1 key of a flow; answers its nodes: key, members, joined, failed, state
select key, members, joined, failed, state from flow_node where flow = ?1 order by key

-- name: list
-- ?1 home, ?2 now in unix ms, ?3 limit; answers its newest flows as `view` does
select key, id, home, state, created, ended, plan from flow
where home = ?1 and state > 0 and (forget is null or forget > ?2) order by created desc, key desc limit ?3

-- name: over
-- ?1 now in unix ms, ?2 limit; answers the keys of flows to be forgotten
select key from flow where forget <= ?1 limit ?2

-- name: drop_jobs
-- ?1 key of a flow, ?2 limit; answers a row for each job deleted
delete from flow_job where flow = ?1 and (node, position) in
    (select node, position from flow_job where flow = ?1 limit ?2) returning 1

-- name: drop_inputs
-- ?1 key of a flow, ?2 limit; answers a row for each input deleted
delete from flow_input where flow = ?1 and (node, member) in
    (select node, member from flow_input where flow = ?1 limit ?2) returning 1

-- name: drop_nodes
-- ?1 key of a flow
delete from flow_node where flow = ?1

-- name: drop
-- ?1 key of a flow
delete from flow where key = ?1
