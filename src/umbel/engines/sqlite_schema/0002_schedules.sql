-- 0002 schedules
--
-- schedule     one row per schedule, per announced code version and per app; see umbel.contracts.schedules
--   revision   the number of the write that made the row what it is; rises with every write to the table
create table schedule(
    name text not null primary key,
    revision integer not null,
    value blob not null
) strict, without rowid;
create index schedule_revision on schedule(revision);

create table schedule_clock(
    revision integer not null
) strict;
insert into schedule_clock values (0);
