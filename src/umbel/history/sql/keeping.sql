-- keeping: how the history is kept right and small.

-- name: silent
-- $1 not heard of since, $2 how many; jobs that are not over, with the attempts of this life of theirs
select j.seq, j.id, coalesce(n.name, ''), j.state, j.attempt - j.past from job j left join name n on n.id = j.queue_id
where j.grade = 0 and j.heard < $1 order by j.heard limit $2

-- name: correct
-- $1 seq, $2 state, $3 grade, $4 level where it is over, $5 when it was found to be over, $6 now, $7 change
update job set state = $2, grade = $3, level = case when $3 > 0 then $4 else level end,
    finished_at = coalesce(finished_at, $5), heard = $6, change = $7
where seq = $1 and grade = 0

-- name: state_of
-- $1 seq of a job; answers its flow and state unless it is over
select flow_id, state from job where seq = $1 and grade = 0

-- name: close_gaps
-- $1 found before, $2 now
update gap set closed = $2 where closed is null and at < $1

-- name: old
-- $1 state, $2 ended before, $3 after this seq, $4 how many
select seq from job where state = $1 and seq > $3 and coalesce(finished_at, sent_at) < $2
    and seq <= (select coalesce(max(last), 0) from minute where minute <= $2)
order by seq limit $4

-- name: beyond
-- $1 state, $2 how many are kept; answers the seq of the first of them that is not
select seq from job where state = $1 order by seq desc limit 1 offset $2

-- name: upto
-- $1 state, $2 seq, $3 after this seq, $4 how many
select seq from job where state = $1 and seq > $3 and seq <= $2 order by seq limit $4

-- name: oldest
-- $1 state, $2 how many
select seq from job where state = $1 order by seq limit $2

-- name: rollups
-- $1 span, $2 before this bucket
delete from rollup where span = $1 and bucket < $2

-- name: samples
-- $1 from here on back one a minute is kept, $2 before this bucket none
delete from queue_sample where bucket < $1 and (bucket % 60 <> 0 or bucket < $2)

-- name: error_minutes
-- $1 before
delete from error_minute where minute < $1

-- name: error_hours
-- $1 before
delete from error_hour where hour < $1

-- name: errors
-- $1 last seen before
delete from error where last_seen < $1

-- name: workers
-- $1 seen before
delete from worker where seen < $1

-- name: runs
-- $1 due before
delete from schedule_run where tick < $1

-- name: flow_counts
-- $1 seen before
delete from flow_count where flow_id in (select id from flow where seen < $1)

-- name: flows
-- $1 seen before
delete from flow where seen < $1

-- name: audits
-- $1 before
delete from audit where at < $1

-- name: bulks
-- $1 started before
delete from bulk_action where started_at < $1 and state <> 'running'

-- name: releases
-- $1 last seen before
delete from release where last_seen < $1

-- name: worker_releases
-- $1 began before; that of each worker which counts since then stays
delete from worker_release where at < (
    select max(later.at) from worker_release later where later.worker_id = worker_release.worker_id and later.at < $1
)

-- name: gaps
-- $1 closed before, or of sources not heard of since
delete from gap where closed < $1 or source in (select id from source where seen < $1)

-- name: sources
-- $1 not heard of since
delete from source where seen < $1

-- name: minutes
-- of jobs that are all gone
delete from minute where last < (select coalesce(min(seq), 0) from job)
