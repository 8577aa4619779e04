-- results: terminal records, and claims to write them where the broker is another engine

-- name: fetch
-- $1 id, $2 now or null; answers the record unless it has expired
select record from umbel.result where id = $1::uuid and expires > coalesce($2::timestamptz, now())

-- name: forget
-- $1 id
delete from umbel.result where id = $1::uuid

-- name: lock
-- $1 ids; whoever claims one of them waits until this transaction is over, and this one waits for him
select from umbel.claim where id = any($1::uuid[]) order by id for share

-- name: put
-- per record: $1 id, $2 owner, $3 record, $4 seconds to keep it; $5 now or null. The first record wins until it has expired.
with moment as materialized (select coalesce($5::timestamptz, now()) as now)
insert into umbel.result(id, expires, writer, record)
select given.id, moment.now + given.ttl * interval '1 second', given.owner, given.record
from moment, unnest($1::uuid[], $2::text[], $3::bytea[], $4::float8[]) as given(id, owner, record, ttl)
where not exists (
    select from umbel.claim where claim.id = given.id and claim.expires > moment.now and claim.owner <> given.owner
)
order by given.id
on conflict (id) do update
    set expires = excluded.expires, writer = excluded.writer, record = excluded.record
    where result.expires <= coalesce($5::timestamptz, now())

-- name: stored
-- $1 ids, $2 records, $3 now or null; answers the places (from 1) of those that are stored as given
select given.place::int4 from unnest($1::uuid[], $2::bytea[]) with ordinality as given(id, record, place)
join umbel.result on result.id = given.id
where result.id = any($1::uuid[]) and result.record = given.record and result.expires > coalesce($3::timestamptz, now())

-- name: claim
-- per claim: $1 id, $2 owner, $3 seconds it holds; $4 now or null. A later claim takes over an earlier one.
insert into umbel.claim(id, expires, owner)
select given.id, coalesce($4::timestamptz, now()) + given.ttl * interval '1 second', given.owner
from unnest($1::uuid[], $2::text[], $3::float8[]) as given(id, owner, ttl)
order by given.id
on conflict (id) do update set expires = excluded.expires, owner = excluded.owner

-- name: claimed
-- $1 ids, $2 now or null; answers places (from 1) and records of those that have ended
select given.place::int4, result.record from unnest($1::uuid[]) with ordinality as given(id, place)
join umbel.result on result.id = given.id
where result.id = any($1::uuid[]) and result.expires > coalesce($2::timestamptz, now())

-- name: expire
-- $1 how many, $2 now or null; records that have expired: each put pays for the cleaning of a few
delete from umbel.result where id = any(array(
    select id from umbel.result where expires <= coalesce($2::timestamptz, now()) limit $1::int4 for update skip locked
))

-- name: expire_claims
-- the same for claims
delete from umbel.claim where id = any(array(
    select id from umbel.claim where expires <= coalesce($2::timestamptz, now()) limit $1::int4 for update skip locked
))
