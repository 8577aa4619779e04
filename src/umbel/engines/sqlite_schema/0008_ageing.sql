-- 0008 ageing: who stands at the front of a level since when; only where priorities age
--
-- ageing         one row per queue and level that has ready jobs, as of the last look
--   front        the id of the oldest of them
--   since        unix ms
create table ageing(
    queue text not null,
    level integer not null,
    front text not null,
    since integer not null,
    primary key (queue, level)
) strict, without rowid;
