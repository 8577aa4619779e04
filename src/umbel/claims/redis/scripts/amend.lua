#!lua
-- amend: what the holder of a job amends its envelope to; kept until a later message stands for it, or for a month. On a
-- full server it is refused.
-- KEYS[1] holders   ARGV prefix now session (id number envelope)*
-- Answer: per item 1 if the delivery is the session's, else 0
-- includes: holding
return holding('envelope')
