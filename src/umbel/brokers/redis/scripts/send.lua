#!lua
-- send: accept jobs. An id that is here already, or has ended lately, is kept once.
-- KEYS[1] jobs   ARGV prefix now (id level at envelope)*   at: 0 ready, > 0 due at that ms, < 0 due in -at ms
-- Answer: how many were new.
-- includes: accept
return accept(ARGV[1], ARGV, 3)
