-- reading: what takes sets, for PostgreSQL, see reading.sql.

-- name: names
-- $1 numbers
select id, name from name where id = any($1::int8[])

-- name: groups
-- $1 numbers of groups of errors
select id, type, template from error where id = any($1::int8[])

-- name: bodies
-- $1 seqs, $2 how many characters of each
select seq, substr(args, 1, $2), substr(kwargs, 1, $2) from job_body where seq = any($1::int8[])

-- name: error_groups
-- $1 numbers of groups of errors
select id, fingerprint, type, template, frame, first_seen, last_seen, n, last_seq, status from error
where id = any($1::int8[])
