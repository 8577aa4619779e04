-- migrating: which changes of the tables were made. Each runs once, whoever comes first; the others wait for the lock.

-- name: lock
-- $1 the number of the lock; held until the end of the transaction
select pg_advisory_xact_lock($1::int8)

-- name: prepare
create schema if not exists umbel

-- name: table
create table if not exists umbel.migration(number integer primary key, at timestamptz not null default now())

-- name: done
-- answers the numbers of the changes that were made
select number from umbel.migration

-- name: note
-- $1 the number of a change that was made in this transaction
insert into umbel.migration(number) values ($1::int4)
