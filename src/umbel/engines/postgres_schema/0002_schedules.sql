-- 0002 schedules
--
-- schedule         one row per schedule, per announced code version and per app; see umbel.contracts.schedules
--   revision       the number of the write that made the row what it is; rises with every write to the table
-- schedule_clock   the last revision. Its one row is locked by whoever writes, so that revisions become visible in order
create table umbel.schedule(
    name text collate "C" primary key,
    revision bigint not null,
    value bytea not null
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);
alter table umbel.schedule alter column value set storage external;
create index schedule_revision on umbel.schedule(revision);

create table umbel.schedule_clock(
    one boolean primary key default true check (one),
    revision bigint not null
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 100);
