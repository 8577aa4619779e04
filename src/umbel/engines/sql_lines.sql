-- name: let_go
-- The server ends a transaction in which nothing is said for longer than $1, a time with its unit, and with it its locks;
-- and a statement that waits for somebody else's for longer than $2. $3 is the pid that the connection was told: behind
-- a pooler, which invents one, nothing is set that others would have.
select set_config('idle_in_transaction_session_timeout', %s, false), set_config('lock_timeout', %s, false)
where pg_backend_pid() = %s

-- name: mysql
-- The same on MariaDB; MySQL, which skips what is for MariaDB alone, has no limit for a transaction in which nothing is said.
-- {seconds} whole seconds, for waiting and for silence
set session innodb_lock_wait_timeout = {seconds} /*M!100300 , idle_transaction_timeout = {seconds} */
