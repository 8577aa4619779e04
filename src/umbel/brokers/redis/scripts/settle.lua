#!lua flags=allow-oom
-- settle: carry out verdicts on deliveries of one session.
-- KEYS[1] jobs   ARGV prefix now session channel n  n * (id head value)  operation*
--   head       "tag kind more operations", one text for all items alike: it is taken apart once
--   tag        "<level>:<number>", what `held` must hold for the item to count: the fence
--   kind       end, dead: value is the record, more its ttl in ms | retry: value the delay in ms, more the counts or -
--              park: value is the task | release
--   operation  J prefix id level at envelope: a follow-up job | E envelope: replaces the job's own
--              O queue id level at envelope: a follow-up job for another node, left in the outbox of this queue
-- Answer: {'ok', per item 1 if it was ours, else 0} | {'dead'}
-- Order of writes: record, follow-ups, new place, envelope, old place. A cut between two of them repeats, never loses.
-- includes: settling
return settling()
