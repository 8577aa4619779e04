-- heartbeat: open and renew sessions

-- name: relax
-- the transaction may be undone by a crash of the server: what it did is done again within seconds
select set_config('synchronous_commit', 'off', true)

-- name: contact
-- $1 queues, $2 lease in seconds, $3 now or null. If nobody looked after a queue for half a lease, the server was down or all
-- were stopped: the leases there get half a lease to be renewed.
insert into umbel.queue as known(name, seen)
select name, coalesce($3::timestamptz, now()) from unnest($1::text[]) as name order by name
on conflict (name) do update set
    hold = case when abs(extract(epoch from excluded.seen - known.seen)) > $2::float8 / 2
        then excluded.seen + greatest($2::float8 / 2, 3) * interval '1 second' else known.hold end,
    seen = excluded.seen

-- name: open
-- $1 sessions, $2 infos, $3 queues, $4 lease in seconds, $5 now or null; answers each session that was opened, once a queue
insert into umbel.session(id, queue, until, info)
select given.id, looked.queue, coalesce($5::timestamptz, now()) + $4::float8 * interval '1 second', given.info
from unnest($1::uuid[], $2::bytea[]) as given(id, info) cross join unnest($3::text[]) as looked(queue)
where not exists (select from umbel.session where id = given.id and queue = any($3::text[]))
order by given.id, looked.queue
on conflict do nothing
returning replace(id::text, '-', '')

-- name: renew
-- the same; answers each session that is alive, once a queue
with beating as materialized (
    select session.id, session.queue, given.info
    from unnest($1::uuid[], $2::bytea[]) as given(id, info) join umbel.session on session.id = given.id
    where session.id = any($1::uuid[]) and session.queue = any($3::text[]) and session.ended is null
    order by session.id, session.queue for no key update of session
)
update umbel.session set
    until = coalesce($5::timestamptz, now()) + $4::float8 * interval '1 second', info = beating.info
from beating where session.id = beating.id and session.queue = beating.queue
returning replace(session.id::text, '-', '')
