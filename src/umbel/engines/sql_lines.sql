-- name: let_go
-- The server ends a transaction in which nothing is said for longer than $1, a time with its unit, and with it its locks.
-- $2 is the pid that the connection was told: behind a pooler, which invents one, nothing is set that others would have.
select set_config('idle_in_transaction_session_timeout', %s, false) where pg_backend_pid() = %s
