-- 0006 events: what happened, for whoever watches
--
-- event_batch    batches of events
--   number       microseconds of unix time, or one more than that of the batch before, if that is later
--   nth          counts batches, to know how many there are
create table umbel.event_batch(
    number bigint primary key,
    nth bigint not null,
    batch bytea not null
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500, autovacuum_vacuum_cost_delay = 0);
alter table umbel.event_batch alter column batch set storage external;
