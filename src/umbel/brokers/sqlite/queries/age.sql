-- age: jobs that nobody took for long rise to the next more urgent level

-- name: fronts
-- ?1 queue; answers level and id of the oldest ready job of each level that has a more urgent one; nothing while it is paused
with step(level) as (values (1), (2), (3), (4), (5), (6), (7), (8), (9)),
first(level, id) as (
    select level, (
        select id from job where job.queue = ?1 and job.level = step.level and state = 0 order by position limit 1
    ) from step
)
select level, id from first where id is not null and not coalesce((select paused from queue where name = ?1), 0)

-- name: known
-- ?1 queue; answers level, id and unix ms: who stood at the front since when, at the last look
select level, front, since from ageing where queue = ?1

-- name: rise
-- ?1 queue, ?2 level, ?3 position, ?4 how many; its oldest jobs go to the end of the next more urgent level; a row for each
update job set level = ?2 - 1, position = ?3 + risen.place
from (
    select seq, row_number() over (order by position) as place from (
        select seq, position from job where queue = ?1 and level = ?2 and state = 0 order by position limit ?4
    )
) as risen
where job.seq = risen.seq returning 1

-- name: keep
-- ?1 queue, ?2 level, ?3 id, ?4 unix ms
insert or replace into ageing(queue, level, front, since) values (?1, ?2, ?3, ?4)

-- name: forget
-- ?1 queue, ?2 level
delete from ageing where queue = ?1 and level = ?2
