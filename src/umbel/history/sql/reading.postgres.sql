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
select id, fingerprint, type, template, frame, first_seen, last_seen, n, last_seq, status, triaged_at, triaged_by
from error where id = any($1::int8[])

-- name: envelopes
-- $1 ids
select j.id, b.envelope from job j join job_body b on b.seq = j.seq
where j.id = any($1::text[]) and b.envelope is not null

-- name: groups_with
-- $1 statuses; answers the groups of errors that have one of them
select id from error where status = any($1::text[])

-- name: error_sparks
-- $1 groups of errors, $2 how many seconds together, $3 first and $4 last minute
select error_id, minute / $2::int8 * $2::int8, sum(n) from error_minute
where minute >= $3 and minute <= $4 and error_id = any($1::int8[]) group by 1, 2

-- name: error_sparks_by_hour
-- $1 groups of errors, $2 how many seconds together, $3 first and $4 last hour
select error_id, hour / $2::int8 * $2::int8, sum(n) from error_hour
where hour >= $3 and hour <= $4 and error_id = any($1::int8[]) group by 1, 2

-- name: times_of
-- $1 tasks, $2 span, $3 first bucket, $4 last bucket; answers their histograms
select task_id, waits, runs from rollup
where span = $2 and task_id = any($1::int8[]) and queue_id = 0 and bucket >= $3 and bucket <= $4
