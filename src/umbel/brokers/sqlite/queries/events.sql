-- events: the log of what happened

-- name: append
-- ?1 batch
insert into event_batch(batch) values (?1)

-- name: trim
-- ?1 number of the newest batch that is not kept
delete from event_batch where number <= ?1

-- name: last
-- answers the number of the newest batch that was ever added, if there was one
select seq from sqlite_sequence where name = 'event_batch'

-- name: read
-- ?1 number, ?2 limit; answers number and batch of those above, in order
select number, batch from event_batch where number > ?1 order by number limit ?2
