-- keeping: what takes sets and many rows, for PostgreSQL, see keeping.sql.

-- name: pairs
-- $1 seqs; answers which rows of arg are theirs
select seq, pairs from job_body where seq = any($1::int8[]) and pairs is not null

-- name: drop_args
-- path, value, seq: a column of all rows each
delete from arg using unnest($1::int8[], $2::int8[], $3::int8[]) as gone (path_id, value, seq)
where arg.path_id = gone.path_id and arg.value = gone.value and arg.seq = gone.seq

-- name: drop_bodies
-- $1 seqs
delete from job_body where seq = any($1::int8[])

-- name: drop_results
-- $1 seqs
delete from job_result where seq = any($1::int8[])

-- name: drop_attempts
-- $1 seqs
delete from attempt where seq = any($1::int8[])

-- name: drop_jobs
-- $1 seqs
delete from job where seq = any($1::int8[])

-- name: seqs
-- $1 ids
select seq from job where id = any($1::text[])
