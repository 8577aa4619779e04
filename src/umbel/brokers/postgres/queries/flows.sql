-- flows: what nodes wait for, and what they send when they open. Each of these statements is one step of a transaction.
-- Rows of nodes are locked in the order of their ids, as late as possible, and those of flows after them. Whether a job has
-- ended is looked up one by one ("limit 1"): a generic plan would read all records to compare them.

-- name: draft
-- $1 key, $2 seconds, $3 now or null; a start goes on, or is forgotten after so long. Answers a row unless it was forgotten.
insert into umbel.flow_draft(key, expires)
values ($1::uuid, coalesce($3::timestamptz, now()) + $2::float8 * interval '1 second')
on conflict (key) do update set expires = excluded.expires

-- name: allot
-- $1 key, $2 seconds, $3 now or null, $4 how many nodes; the same as `draft`, and ids for the nodes, which it answers
insert into umbel.flow_draft(key, expires, nodes)
select $1::uuid, coalesce($3::timestamptz, now()) + $2::float8 * interval '1 second', array(
    select nextval(pg_get_serial_sequence('umbel.flow_node', 'id')) from generate_series(1, $4::int4)
)
on conflict (key) do update set expires = excluded.expires, nodes = coalesce(flow_draft.nodes, excluded.nodes)
returning nodes

-- name: bring
-- $1 key; per input: $2 id of its node, $3 member, $4 whether it failed, $5 value. If the start was forgotten, so that ids were
-- allotted in vain, it stores nothing, and `begin` will see that.
insert into umbel.flow_input(node, member, failed, value)
select given.* from unnest($2::int8[], $3::int8[], $4::bool[], $5::bytea[]) as given(node, member, failed, value)
where exists (select from umbel.flow_draft where key = $1::uuid and nodes is not null)
on conflict do nothing

-- name: store
-- $1 key; per job: $2 node, $3 number of its chunk, $4 id, $5 name (empty: the id itself), $6 queue, $7 level, $8 seconds of
-- delay, $9 eta in unix seconds (0: none), $10 envelope
insert into umbel.flow_chunk(flow, node, place, ids, names, queues, levels, delays, etas, envelopes)
select $1::uuid, node, place, array_agg(id order by nth), array_agg(name order by nth), array_agg(queue order by nth),
    array_agg(level order by nth), array_agg(delay order by nth), array_agg(eta order by nth),
    array_agg(envelope order by nth)
from unnest($2::int4[], $3::int4[], $4::uuid[], $5::text[], $6::text[], $7::int2[], $8::float8[], $9::float8[], $10::bytea[])
    with ordinality as given(node, place, id, name, queue, level, delay, eta, envelope, nth)
group by node, place
on conflict do nothing

-- name: begin
-- $1 id, $2 name or empty, $3 key, $4 home, $5 how many ends, $6 plan, $7 ttl, $8 expires or null, $9 how many chunks were
-- stored, $10 now or null, $11 ids that were allotted to its nodes or null; answers a row if the flow was not there. It waits
-- for another start of the same flow.
insert into umbel.flow(id, name, key, home, state, created, ends, plan, ttl, expires)
select $1::uuid, nullif($2::text, ''), $3::uuid, $4::text, 'running', coalesce($10::timestamptz, now()), $5::int4,
    $6::bytea, $7::float8, $8::float8
where $9::int4 = (select count(*) from umbel.flow_chunk where flow = $3::uuid)
    and ($11::int8[] is null or exists (select from umbel.flow_draft where key = $3::uuid and nodes = $11::int8[]))
on conflict (id) do nothing
returning 1

-- name: nodes
-- $1 id, $2 key; per node: $3 number, $4 members, $5 how many chunks; those that wait for nobody are complete
insert into umbel.flow_node(flow, number, members, chunks, state)
select flow.id, given.number, given.members, given.chunks, case when given.members <= 0 then 3 else 0 end
from umbel.flow, unnest($3::int4[], $4::int4[], $5::int4[]) with ordinality as given(number, members, chunks, nth)
where flow.id = $1::uuid and flow.key = $2::uuid
order by given.nth
on conflict do nothing

-- name: brought
-- the same, and $6 their ids, under which inputs are stored: each counts as joined
insert into umbel.flow_node(id, flow, number, members, chunks, joined, failed, first, state)
overriding system value
select given.id, flow.id, given.number, given.members, given.chunks, input.joined, input.failed, input.first,
    case when input.joined >= given.members then 3 else 0 end
from umbel.flow, unnest($3::int4[], $4::int4[], $5::int4[], $6::int8[])
    with ordinality as given(number, members, chunks, id, nth)
cross join lateral (
    select count(*)::int4 as joined, (count(*) filter (where failed))::int4 as failed,
        min(member) filter (where failed) as first
    from umbel.flow_input where flow_input.node = given.id
) as input
where flow.id = $1::uuid and flow.key = $2::uuid
order by given.nth
on conflict do nothing

-- name: begun
-- $1 id, $2 key; the start is not to be forgotten if it won; answers a row if the flow is there
with kept as (
    delete from umbel.flow_draft where key = $2::uuid
        and exists (select from umbel.flow where id = $1::uuid and key = $2::uuid)
)
select 1 from umbel.flow where id = $1::uuid

-- name: fence
-- $1 session; per verdict: $2 id, $3 receive number. Keeps for this transaction the places (from 1) of those that are ours;
-- the same look as in `end`, which comes next and finds the same, for the rows are locked.
with alive as materialized (
    select queue from umbel.session where id = $1::uuid and ended is null order by queue for key share
)
select set_config('umbel.ours', array(
    select given.place::int4
    from unnest($2::uuid[], $3::int4[]) with ordinality as given(id, number, place)
    cross join lateral (
        select from umbel.job
        where job.id = given.id and job.number = given.number and job.session = $1::uuid and job.state + 0 = 1
            and job.queue = any(array(select queue from alive))
        limit 1 for update
    ) as job
)::text, true)

-- name: await
-- per node that waits for one member more: $1 place of the verdict, $2 flow, $3 home, $4 number
with given as materialized (
    select node.id, count(*)::int4 as more
    from unnest($1::int4[], $2::uuid[], $3::text[], $4::int4[]) as given(place, flow, home, number)
    cross join lateral (
        select node.id from umbel.flow join umbel.flow_node as node on node.flow = flow.id
        where flow.id = given.flow and flow.home = given.home and node.number = given.number limit 1
    ) as node
    where given.place = any(current_setting('umbel.ours')::int4[])
    group by node.id
),
locked as materialized (
    select node.id from (select id from given order by id) as known
    cross join lateral (select id from umbel.flow_node where id = known.id for no key update) as node
)
update umbel.flow_node as node set members = node.members + given.more
from given where given.id = node.id and node.id = any(array(select id from locked)) and node.state = 0

-- name: join
-- per member that ended: $1 place of the verdict, $2 flow, $3 home, $4 node, $5 member, $6 whether it failed, $7 value.
-- Each counts once; a node that has all of them is complete. Who waits here for another's lock counts on what that one wrote:
-- the update looks at the row again, and nothing else that others write is looked at.
with given as materialized (
    select * from unnest($1::int4[], $2::uuid[], $3::text[], $4::int4[], $5::int8[], $6::bool[], $7::bytea[])
        as given(place, flow, home, number, member, failed, value)
    where place = any(current_setting('umbel.ours')::int4[])
),
waiting as materialized (
    select known.*, node.id, node.chunks from (select distinct flow, home, number from given) as known
    cross join lateral (
        select node.id, node.chunks from umbel.flow join umbel.flow_node as node on node.flow = flow.id
        where flow.id = known.flow and flow.home = known.home and node.number = known.number and node.state = 0 limit 1
    ) as node
),
brought as (
    insert into umbel.flow_input(node, member, failed, value)
    select waiting.id, given.member, given.failed,
        case when waiting.chunks = 0 and not given.failed then ''::bytea else given.value end
    from given join waiting using (flow, home, number) order by waiting.id, given.member
    on conflict do nothing
    returning node, member, failed
),
counted as materialized (
    select node as id, count(*)::int4 as joined, (count(*) filter (where failed))::int4 as failed,
        min(member) filter (where failed) as first
    from brought group by node
),
locked as materialized (
    select node.id from (select id from counted order by id) as known
    cross join lateral (select id from umbel.flow_node where id = known.id for no key update) as node
)
update umbel.flow_node as node set
    joined = node.joined + counted.joined, failed = node.failed + counted.failed,
    first = least(node.first, counted.first),
    state = case when node.joined + counted.joined >= node.members then 3 else 0 end
from counted where counted.id = node.id and node.id = any(array(select id from locked)) and node.state = 0

-- name: open
-- flows $1 and numbers $2 of nodes that may be complete since this transaction looked, $3 how many chunks are sent now,
-- $4 now or null. Opens them: sends jobs, or notes that an end has opened, the last of which ends the flow. Answers queues
-- and for how many jobs somebody is to be woken.
with moment as materialized (select coalesce($4::timestamptz, clock_timestamp()) as now),
complete as materialized (
    select distinct node.id
    from unnest($1::uuid[], $2::int4[]) as given(flow, number)
    cross join lateral (
        select node.id from umbel.flow join umbel.flow_node as node on node.flow = flow.id
        where flow.id = given.flow and node.number = given.number and node.state = 3 limit 1
    ) as node
),
opened as (
    update umbel.flow_node set
        sent = least($3::int4, chunks), state = case when chunks > $3::int4 then 1 else 2 end,
        opened = (select now from moment)
    where id = any(array(select id from complete))
    returning id, flow, number, chunks, sent, failed
),
ends as materialized (
    select flow, count(*)::int4 as opened, (count(*) filter (where failed > 0))::int4 as bad
    from opened where chunks = 0 group by flow
),
ending as materialized (
    select id from umbel.flow where id = any(array(select flow from ends)) order by id for no key update
),
ended as (
    update umbel.flow set
        ends = flow.ends - ends.opened, bad = flow.bad + ends.bad,
        ended = case when flow.ends = ends.opened then moment.now end,
        forget = case when flow.ends = ends.opened then moment.now + flow.ttl * interval '1 second' end,
        state = case when flow.ends > ends.opened or flow.state <> 'running' then flow.state
            when flow.bad + ends.bad > 0 then 'failed' else 'succeeded' end
    from ends, moment where flow.id = ends.flow and flow.id = any(array(select id from ending))
),
taken as (
    delete from umbel.flow_chunk where ctid = any(array(
        select chunk.ctid from opened cross join lateral (
            select chunk.ctid from umbel.flow join umbel.flow_chunk as chunk on chunk.flow = flow.key
            where flow.id = opened.flow and chunk.node = opened.number and chunk.place < opened.sent
        ) as chunk
    ))
    returning node, place, ids, names, queues, levels, delays, etas, envelopes
),
made as (
    insert into umbel.job(id, name, queue, level, run_at, delayed, envelope)
    select next.id, nullif(next.name, ''), next.queue, next.level, next.run_at, next.run_at > next.now, next.envelope
    from (
        select job.*, taken.node, taken.place, moment.now, greatest(moment.now, case when job.eta > 0
            then to_timestamp(job.eta) else moment.now + job.delay * interval '1 second' end) as run_at
        from moment, taken cross join lateral unnest(
            taken.ids, taken.names, taken.queues, taken.levels, taken.delays, taken.etas, taken.envelopes
        ) with ordinality as job(id, name, queue, level, delay, eta, envelope, nth)
    ) as next
    where (select true from umbel.result where result.id = next.id and result.expires > next.now limit 1) is null
    order by next.node, next.place, next.nth
    on conflict (id) do nothing
    returning queue
)
select queue, count(*)::int4 from made group by queue

-- name: more
-- $1 how many jobs about, $2 now or null; sends on what open nodes have left, the oldest first; who finds another at it goes
-- on to the next. Answers queues and how many jobs.
with moment as materialized (select coalesce($2::timestamptz, clock_timestamp()) as now),
sending as materialized (
    select node.id, flow.key, node.number, node.sent from umbel.flow_node as node join umbel.flow on flow.id = node.flow
    where node.state = 1 order by node.id limit 1 for no key update of node skip locked
),
chosen as materialized (
    select chunk.ctid, chunk.place from (
        select found.ctid, found.place,
            coalesce(sum(found.jobs) over (order by found.place rows between unbounded preceding and current row), 0) as jobs,
            row_number() over (order by found.place) as nth
        from sending cross join lateral (
            select ctid, place, cardinality(ids) as jobs from umbel.flow_chunk
            where flow = sending.key and node = sending.number and place >= sending.sent
            order by place limit 1 + $1::int4 / 32
        ) as found
    ) as chunk
    where chunk.jobs <= $1::int4 or chunk.nth = 1
),
taken as (
    delete from umbel.flow_chunk where ctid = any(array(select ctid from chosen))
    returning place, ids, names, queues, levels, delays, etas, envelopes
),
noted as (
    update umbel.flow_node set
        sent = coalesce((select max(place) + 1 from chosen), chunks),
        state = case when coalesce((select max(place) + 1 from chosen), chunks) >= chunks then 2 else 1 end
    where id = any(array(select id from sending))
),
made as (
    insert into umbel.job(id, name, queue, level, run_at, delayed, envelope)
    select next.id, nullif(next.name, ''), next.queue, next.level, next.run_at, next.run_at > next.now, next.envelope
    from (
        select job.*, taken.place, moment.now, greatest(moment.now, case when job.eta > 0
            then to_timestamp(job.eta) else moment.now + job.delay * interval '1 second' end) as run_at
        from moment, taken cross join lateral unnest(
            taken.ids, taken.names, taken.queues, taken.levels, taken.delays, taken.etas, taken.envelopes
        ) with ordinality as job(id, name, queue, level, delay, eta, envelope, nth)
    ) as next
    where (select true from umbel.result where result.id = next.id and result.expires > next.now limit 1) is null
    order by next.place, next.nth
    on conflict (id) do nothing
    returning queue
)
select queue, count(*)::int4 from made group by queue

-- name: page
-- $1 flow, $2 home, $3 node, $4 after which member, $5 how many, $6 now or null. Answers a row unless the flow is unknown:
-- state, expires, for how many seconds the node has been open or null, first member that failed and its value or nulls, and
-- arrays of members, of whether they failed, of values
select flow.state::text, flow.expires,
    extract(epoch from coalesce($6::timestamptz, clock_timestamp()) - node.opened)::float8, node.first, cause.value,
    page.members, page.failed, page.values
from umbel.flow
left join lateral (
    select id, first, opened from umbel.flow_node where flow_node.flow = flow.id and number = $3::int4 limit 1
) as node on true
left join lateral (
    select value from umbel.flow_input where flow_input.node = node.id and member = node.first limit 1
) as cause on true
cross join lateral (
    select array_agg(member order by member) as members, array_agg(failed order by member) as failed,
        array_agg(value order by member) as values
    from (
        select member, failed, value from umbel.flow_input where flow_input.node = node.id and member > $4::int8
        order by member limit $5::int4
    ) as input
) as page
where flow.id = $1::uuid and flow.home = $2::text and (flow.forget is null or flow.forget > coalesce($6::timestamptz, now()))

-- name: find
-- $1 flow, $2 home or empty, $3 now or null; answers name, home, state, created, ended or null, plan, and arrays of its
-- nodes: number, members, joined, failed, whether open
select coalesce(flow.name, flow.id::text), flow.home::text, flow.state::text, extract(epoch from flow.created)::float8,
    extract(epoch from flow.ended)::float8, flow.plan, node.numbers, node.members, node.joined, node.failed, node.open
from umbel.flow cross join lateral (
    select array_agg(number order by id) as numbers, array_agg(members order by id) as members,
        array_agg(joined order by id) as joined, array_agg(failed order by id) as failed,
        array_agg(state > 0 order by id) as open
    from umbel.flow_node where flow_node.flow = flow.id
) as node
where flow.id = $1::uuid and $2::text in ('', flow.home)
    and (flow.forget is null or flow.forget > coalesce($3::timestamptz, now()))

-- name: newest
-- $1 homes, $2 how many, $3 now or null; answers the same without the nodes
select coalesce(found.name, found.id::text), found.home::text, found.state::text, extract(epoch from found.created)::float8,
    extract(epoch from found.ended)::float8, found.plan
from (select distinct home from unnest($1::text[]) as home) as looked cross join lateral (
    select * from umbel.flow
    where flow.home = looked.home and (flow.forget is null or flow.forget > coalesce($3::timestamptz, now()))
    order by flow.created desc limit $2::int4
) as found
order by found.created desc limit $2::int4

-- name: revoke
-- $1 flow, $2 home or empty; answers a row if it was running
update umbel.flow set state = 'revoked' where id = $1::uuid and $2::text in ('', home) and state = 'running' returning 1

-- name: forget
-- $1 how many inputs, $2 now or null; of flows that ended long enough ago: what was brought to them, and then themselves.
-- Answers how many inputs.
with off as materialized (select set_config('synchronous_commit', 'off', true)),
over as materialized (
    select flow.id, flow.key from off, umbel.flow where forget <= coalesce($2::timestamptz, now())
    order by forget limit 20 for update of flow skip locked
),
inputs as (
    delete from umbel.flow_input where ctid = any(array(
        select input.ctid from over join umbel.flow_node as node on node.flow = over.id
        cross join lateral (select ctid from umbel.flow_input where flow_input.node = node.id limit $1::int4) as input
        limit $1::int4
    ))
    returning 1
),
done as materialized (select id, key from over where (select count(*) from inputs) < $1::int4),
nodes as (
    delete from umbel.flow_node where flow = any(array(select id from done))
),
chunks as (
    delete from umbel.flow_chunk where flow = any(array(select key from done))
),
flows as (
    delete from umbel.flow where id = any(array(select id from done))
)
select count(*)::int4 from inputs

-- name: clear
-- $1 how many, $2 now or null; starts that nobody went on with, or that came too late
with gone as (
    delete from umbel.flow_draft where key = any(array(
        select key from umbel.flow_draft where expires <= coalesce($2::timestamptz, now())
        limit $1::int4 for update skip locked
    ))
    returning key, nodes
),
inputs as (delete from umbel.flow_input where node = any(array(select unnest(nodes) from gone)))
delete from umbel.flow_chunk where flow = any(array(select key from gone))
