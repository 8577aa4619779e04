-- 0004 control: single jobs are stopped, queues are paused, messages are told
--
-- job
--   doom       why it must not run any more: 0 it may, 1 revoked, 2 timeout, 3 memory; once given, it stays
--   note       what its holder noted last of its progress
-- queue
--   paused     1: nobody receives from it
-- letter       messages of boxes, under numbers that are never used twice. expires: unix ms
alter table job add column doom integer not null default 0;
alter table job add column note blob;
alter table queue add column paused integer not null default 0;

create table letter(
    number integer primary key autoincrement,
    box text not null,
    expires integer not null,
    message blob not null
) strict;
create index letter_box on letter(box, number);
create index letter_expires on letter(expires);
