-- schedules: rows of opaque bytes, each replaced only by whoever saw it as it is

-- name: read
-- ?1 revision; answers name, revision and value of the rows written after it
select name, revision, value from schedule where revision > ?1

-- name: size
-- answers the number of rows
select count(*) from schedule

-- name: next
-- answers the revision of the write that begins
update schedule_clock set revision = revision + 1 returning revision

-- name: add
-- ?1 name, ?2 new revision, ?3 value; answers a row if there was none
insert into schedule(name, revision, value) values (?1, ?2, ?3) on conflict(name) do nothing returning 1

-- name: replace
-- ?1 name, ?2 new revision, ?3 value, ?4 revision that it must have; answers a row if it had
update schedule set revision = ?2, value = ?3 where name = ?1 and revision = ?4 returning 1

-- name: remove
-- ?1 name, ?2 revision that it must have; answers a row if it had
delete from schedule where name = ?1 and revision = ?2 returning 1
