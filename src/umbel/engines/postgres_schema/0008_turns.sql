-- 0008 turns: a turn whose jobs start at once may have more than one of them out
--
-- turn           outside: how many of its jobs are out, if it is of one name; free if that is 0
set local lock_timeout = '3s';
alter table umbel.turn add column outside integer not null default 0;
update umbel.turn set outside = 1 where not free;
set local lock_timeout = 0;
