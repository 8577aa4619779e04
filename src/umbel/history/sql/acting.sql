-- acting: what others than recorders write: actions on all jobs that match, and what was done about groups of errors.

-- name: begin
-- $1 id, $2 what, $3 filter, $4 options, $5 cutoff, $6 the moment for which the filter is understood, $7 who,
-- $8 origin, $9 now, $10 total, $11 whether that is the least; one that is there already stays as it is
insert into bulk_action (id, what, filter, options, cutoff, asked_at, who, origin, started_at, total, capped, done,
    failed, state, trouble, holder, lease_until)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 0, 0, 'running', '', '', 0) on conflict (id) do nothing

-- name: take
-- $1 id, $2 holder, $3 until, $4 now; answers the id if it runs and nobody else holds it
update bulk_action set holder = $2, lease_until = $3
where id = $1 and state = 'running' and (holder = $2 or lease_until < $4) returning id

-- name: loose
-- $1 now; answers the id of the oldest that runs and that nobody holds
select id from bulk_action where state = 'running' and lease_until < $1 order by started_at limit 1

-- name: step
-- $1 id, $2 holder, $3 until, $4 how many more are done and $5 have failed, $6 cursor; answers the id if it goes on
update bulk_action set lease_until = $3, done = done + $4, failed = failed + $5, cursor = $6
where id = $1 and holder = $2 and state = 'running' returning id

-- name: late_step
-- $1 id, $2 holder, $3 how many more are done and $4 have failed: of one that was stopped meanwhile
update bulk_action set done = done + $3, failed = failed + $4 where id = $1 and holder = $2 and state = 'stopped'

-- name: end
-- $1 id, $2 holder, $3 state, $4 what went wrong, $5 now
update bulk_action set state = $3, trouble = $4, finished_at = $5, lease_until = 0
where id = $1 and holder = $2 and state = 'running'

-- name: stop
-- $1 id, $2 now; answers the id if it ran
update bulk_action set state = 'stopped', finished_at = $2, lease_until = 0
where id = $1 and state = 'running' returning id

-- name: bulk
-- $1 id
select id, what, filter, options, cutoff, asked_at, who, origin, started_at, finished_at, total, capped, done,
    failed, state, trouble, cursor, lease_until
from bulk_action where id = $1

-- name: bulks
-- $1 started before, $2 how many; the newest first
select id, what, filter, options, cutoff, asked_at, who, origin, started_at, finished_at, total, capped, done,
    failed, state, trouble, cursor, lease_until
from bulk_action where started_at < $1 order by started_at desc limit $2

-- name: triage
-- $1 group, $2 status, $3 who, $4 now; answers the group if there is one
update error set status = $2, triaged_by = $3, triaged_at = $4 where id = $1 returning id
