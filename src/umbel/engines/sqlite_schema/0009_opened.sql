-- 0009 opened: nodes of flows tell when they have opened, so that it is known for how long their jobs wait
--
-- flow_node    opened: unix ms; null while it has not opened, and for those of before
alter table flow_node add column opened integer;
