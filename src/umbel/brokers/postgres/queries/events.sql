-- events: the log of what happened. It need not outlive a crash of the server; whoever waits is rung for apart.

-- name: lock
-- $1 class and $2 number of the log; whoever appends waits for the one before, so that numbers become visible in their order
-- and no reader passes by a batch whose transaction ends late
select set_config('synchronous_commit', 'off', true), pg_advisory_xact_lock($1::int4, $2::int4)

-- name: append
-- $1 batches, $2 how many are kept. Numbers are taken from the clock, for a sequence may fall back in a crash, and readers
-- would miss some.
with newest as materialized (
    select coalesce(max(number), 0) as number, coalesce(max(nth), 0) as nth
    from (select number, nth from umbel.event_batch order by number desc limit 1) as last
),
gone as (
    delete from umbel.event_batch where number = any(array(
        select number from umbel.event_batch order by number limit greatest(0, (
            select newest.nth + cardinality($1::bytea[]) - $2::int8 - oldest.nth + 1
            from newest, (select nth from umbel.event_batch order by number limit 1) as oldest
        ))
    ))
)
insert into umbel.event_batch(number, nth, batch)
select given.nth + greatest((extract(epoch from clock_timestamp()) * 1000000)::int8, newest.number), newest.nth + given.nth, batch
from newest, unnest($1::bytea[]) with ordinality as given(batch, nth)

-- name: end
-- answers the number of the newest batch, if there is one
select number from umbel.event_batch order by number desc limit 1

-- name: count
-- answers how many batches were ever added, if there is one
select nth from umbel.event_batch order by number desc limit 1

-- name: read
-- $1 a number, $2 how many; answers numbers and batches behind it, or the oldest if there is no number that high
select number, batch from umbel.event_batch
where number > case when $1::int8 <= (select number from umbel.event_batch order by number desc limit 1) then $1::int8 else 0 end
order by number limit $2::int4
