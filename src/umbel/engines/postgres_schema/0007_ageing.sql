-- 0007 ageing: who stands at the front of a level since when; only where priorities age
--
-- ageing         one row per queue and level that has ready jobs, as of the last look
--   front        the oldest of them
create table umbel.ageing(
    queue text collate "C" not null,
    level smallint not null,
    front uuid not null,
    since timestamptz not null,
    primary key (queue, level)
) with (fillfactor = 50);
