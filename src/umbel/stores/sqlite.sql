-- results in one file: terminal records, and claims to write them where the broker is another engine

-- name: fetch
-- ?1 id, ?2 now in unix ms; answers the record unless it has expired
select value from result where id = ?1 and expires > ?2

-- name: forget
-- ?1 id
delete from result where id = ?1

-- name: owner
-- ?1 id, ?2 now in unix ms; answers who alone may write the record
select owner from claim where id = ?1 and expires > ?2

-- name: claim
-- ?1 id, ?2 expiry in unix ms, ?3 owner; a later claim takes over an earlier one
insert into claim(id, expires, owner) values (?1, ?2, ?3)
on conflict(id) do update set expires = excluded.expires, owner = excluded.owner

-- name: unclaim
-- ?1 id
delete from claim where id = ?1

-- name: put
-- ?1 id, ?2 expiry in unix ms, ?3 owner, ?4 record; replaces what has expired: the caller saw that nothing else is there
insert into result(id, expires, writer, value) values (?1, ?2, ?3, ?4)
on conflict(id) do update set expires = excluded.expires, writer = excluded.writer, value = excluded.value

-- name: expire
-- ?1 now in unix ms, ?2 limit; records that have expired: each put pays for the cleaning of a few
delete from result where id in (select id from result where expires <= ?1 limit ?2)

-- name: expire_claims
-- ?1 now in unix ms, ?2 limit
delete from claim where id in (select id from claim where expires <= ?1 limit ?2)
