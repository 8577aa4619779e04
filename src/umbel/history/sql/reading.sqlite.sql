-- reading: what takes sets, for SQLite, see reading.sql.

-- name: names
-- $1 numbers
select id, name from name where id in (select value from json_each($1))

-- name: groups
-- $1 numbers of groups of errors
select id, type, template from error where id in (select value from json_each($1))

-- name: bodies
-- $1 seqs, $2 how many characters of each
select seq, substr(args, 1, $2), substr(kwargs, 1, $2) from job_body where seq in (select value from json_each($1))

-- name: error_groups
-- $1 numbers of groups of errors
select id, fingerprint, type, template, frame, first_seen, last_seen, n, last_seq, status from error
where id in (select value from json_each($1))
