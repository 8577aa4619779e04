-- What jobs answered, apart from what was told when they were sent: that is written once. Which release of the app a
-- worker ran since when: errors are counted by release.
-- All of it is in the schema that is first on the search path.
create table job_result (seq bigint primary key, result text not null);
insert into job_result (seq, result) select seq, result from job_body where result is not null;
alter table job_body drop column result;

create table worker_release (
    worker_id bigint not null,
    at double precision not null,
    release text not null,
    primary key (worker_id, at)
);
