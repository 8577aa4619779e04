-- mailbox: messages that everybody may read. They need not outlive a crash of the server; whoever waits is rung for apart.

-- name: lock
-- $1 class and $2 number of a box; whoever tells it waits for the one before, so that numbers become visible in their order
select set_config('synchronous_commit', 'off', true), pg_advisory_xact_lock($1::int4, $2::int4)

-- name: tell
-- $1 box, $2 messages, $3 seconds to keep them, $4 a UUID of this call, $5 how many that have expired are removed at most,
-- $6 now or null. Numbers are taken from the clock, for a sequence may fall back in a crash, and who waits would miss some.
with gone as (
    delete from umbel.letter where ctid = any(array(
        select ctid from umbel.letter where expires <= coalesce($6::timestamptz, now())
        limit $5::int4 for update skip locked
    ))
)
insert into umbel.letter(number, expires, mark, place, box, message)
select nth + greatest((extract(epoch from clock_timestamp()) * 1000000)::int8, coalesce((
        select number from umbel.letter where box = $1::text order by number desc limit 1
    ), 0)), coalesce($6::timestamptz, now()) + $3::float8 * interval '1 second', $4::uuid, nth, $1::text, message
from unnest($2::bytea[]) with ordinality as given(message, nth)
on conflict (mark, place) do nothing

-- name: position
-- $1 box; answers the number of its last message, or 0
select coalesce((select number from umbel.letter where box = $1::text order by number desc limit 1), 0)

-- name: hear
-- $1 box, $2 a number, $3 how many, $4 now or null; answers numbers and messages behind that number
select number, message from umbel.letter
where box = $1::text and number > $2::int8 and expires > coalesce($4::timestamptz, now())
order by number limit $3::int4
