-- 0004 control: single jobs that are stopped, queues that are paused, boxes of messages; flows that start with inputs
--
-- job
--   doom         why it must not run any more; null: it may. Null as a rule, so that it takes no room
--   note         what its holder noted of its progress
-- pause          one row per queue that is paused; mostly there is none, so that a receive finds out for next to nothing
-- letter         one row per message in a box
--   number       microseconds of unix time, or one more than that of the box's last message, if that is later
--   mark, place  which call has told it, so that a call that is repeated tells nothing twice
-- flow_draft
--   nodes        the ids that its nodes will have, if inputs are stored before they are there
--
-- Who uses these tables at this moment holds this change up, and this change all others: rather than for ever, for 3 s a try.
set local lock_timeout = '3s';
alter table umbel.job add column doom text collate "C", add column note bytea;
alter table umbel.flow_draft add column nodes bigint[];
set local lock_timeout = 0;

create table umbel.pause(queue text collate "C" primary key);

create table umbel.letter(
    number bigint not null,
    expires timestamptz not null,
    mark uuid not null,
    place integer not null,
    box text collate "C" not null,
    message bytea not null,
    primary key (box, number),
    constraint letter_mark unique (mark, place)
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500, autovacuum_vacuum_cost_delay = 0);
alter table umbel.letter alter column message set storage external;
create index letter_expires on umbel.letter(expires);
