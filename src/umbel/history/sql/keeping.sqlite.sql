-- keeping: what takes sets and many rows, for SQLite, see keeping.sql.

-- name: pairs
-- $1 seqs; answers which rows of arg are theirs
select seq, pairs from job_body where seq in (select value from json_each($1)) and pairs is not null

-- name: drop_args
-- path, value, seq
delete from arg where path_id = $1 and value = $2 and seq = $3

-- name: drop_bodies
-- $1 seqs
delete from job_body where seq in (select value from json_each($1))

-- name: drop_results
-- $1 seqs
delete from job_result where seq in (select value from json_each($1))

-- name: drop_attempts
-- $1 seqs
delete from attempt where seq in (select value from json_each($1))

-- name: drop_jobs
-- $1 seqs
delete from job where seq in (select value from json_each($1))

-- name: seqs
-- $1 ids
select seq from job where id in (select value from json_each($1))
