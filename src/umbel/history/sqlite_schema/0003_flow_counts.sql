-- How many jobs of each flow are in each state, also of those whose records are gone.
create table flow_count (
    flow_id text not null,
    state integer not null,
    n integer not null,
    primary key (flow_id, state)
) without rowid;
insert into flow_count (flow_id, state, n)
select flow_id, state, count(*) from job where flow_id is not null group by flow_id, state;
