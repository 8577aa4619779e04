#!lua flags=allow-oom
-- note: what the holder of a job notes of its progress; kept until the job is over, or for a month.
-- KEYS[1] holders   ARGV prefix now session (id number note)*
-- Answer: per item 1 if the delivery is the session's, else 0
-- includes: holding
return holding('note')
