#!lua flags=allow-oom
-- settle: carry out verdicts on deliveries of one session.
-- KEYS[1] holders   ARGV prefix now session records channel n  n * (id number kind value more generation counts parcel operations)  operation*
--   kind        end, dead: value is the record, more its ttl in ms | retry: more is the delay in ms
--               park: value is the task | release
--   generation  of the message that the parcel publishes   counts  "retries:crashes:losses"   operations  how many are its
-- Answer: per item 1 if it was ours, else 0; a dead session has nothing.
-- Order of writes: parcel, record or counters, then the claim. A cut between two of them repeats, never loses.
-- includes: settling
return settling()
