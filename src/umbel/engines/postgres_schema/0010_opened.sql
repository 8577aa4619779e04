-- 0010 opened: nodes of flows tell when they have opened, so that it is known for how long their jobs wait
--
-- flow_node      opened: when it has; null while it has not, and for those of before
set local lock_timeout = '3s';
alter table umbel.flow_node add column opened timestamptz;
set local lock_timeout = 0;
