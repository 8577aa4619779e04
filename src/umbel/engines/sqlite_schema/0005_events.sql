-- 0005 events: what happened, for whoever watches
--
-- event_batch  batches of events, under numbers that are never used twice
create table event_batch(
    number integer primary key autoincrement,
    batch blob not null
) strict;
