-- settle: carry out verdicts. Each statement that changes a job carries the fence: the job must be held (state 1) by this
-- session (?2, its key) from this receive (?3, its number); otherwise nothing happens and no row is answered.

-- name: end
-- ?1 job id, ?2 and ?3 the fence; answers id and number if it was ours
delete from job where id = ?1 and session = ?2 and number = ?3 and state = 1 returning id, number

-- name: move
-- ?1 job id, ?2 and ?3 the fence, ?4 state, ?5 position (null: as it was), ?6 due, ?7 task it is parked for,
-- ?8 ?9 ?10 retries, crashes, losses (null: as they were), ?11 marked, ?12 doom unless it has one,
-- ?13 envelope (null: as it was). A doomed job that would wait for a time or a worker is ready at once.
update job set state = case when doom > 0 and ?4 in (3, 4) then 0 else ?4 end,
    due = case when doom > 0 and ?4 = 4 then 0 else ?6 end, task = case doom when 0 then ?7 end,
    position = coalesce(?5, position), session = null, number = null, back = 1,
    retries = coalesce(?8, retries), crashes = coalesce(?9, crashes), losses = coalesce(?10, losses), marked = ?11,
    doom = case doom when 0 then ?12 else doom end, envelope = coalesce(?13, envelope)
where id = ?1 and session = ?2 and number = ?3 and state = 1 returning id, ?3

-- name: record
-- ?1 job id, ?2 expiry in unix ms, ?3 writer, ?4 value, ?5 now in unix ms; the first record wins until it has expired
insert into result(id, expires, writer, value) values (?1, ?2, ?3, ?4)
on conflict(id) do update set expires = excluded.expires, writer = excluded.writer, value = excluded.value
where expires <= ?5

-- name: mark
-- ?1 job id, ?2 and ?3 the fence; answers a row if it was ours
update job set marked = 1 where id = ?1 and session = ?2 and number = ?3 and state = 1 returning 1
