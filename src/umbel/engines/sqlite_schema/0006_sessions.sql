-- 0006 sessions: of the many that have ended nobody who looks at the open ones takes notice
create index session_open on session(lifeline) where ended is null;
create index session_ended on session(ended) where ended is not null;
