-- How many jobs of each flow are in each state, also of those whose records are gone.
-- All of it is in the schema that is first on the search path.
create table flow_count (
    flow_id text not null,
    state smallint not null,
    n bigint not null,
    primary key (flow_id, state)
);
insert into flow_count (flow_id, state, n)
select flow_id, state, count(*) from job where flow_id is not null group by flow_id, state;
