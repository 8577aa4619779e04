-- mailbox: messages of boxes

-- name: tell
-- ?1 box, ?2 expiry in unix ms, ?3 message
insert into letter(box, expires, message) values (?1, ?2, ?3)

-- name: position
-- answers the number of the last message of any box, if there was one
select seq from sqlite_sequence where name = 'letter'

-- name: hear
-- ?1 box, ?2 number, ?3 now in unix ms, ?4 limit; answers number and message of those above, in order
select number, message from letter where box = ?1 and number > ?2 and expires > ?3 order by number limit ?4

-- name: expire
-- ?1 now in unix ms, ?2 limit
delete from letter where number in (select number from letter where expires <= ?1 limit ?2)
