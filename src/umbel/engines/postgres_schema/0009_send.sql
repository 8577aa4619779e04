-- 0009 send: one job is accepted, and whoever waits for it is woken, in one statement and so in one round trip
--
-- send           accepts a job unless its id is known, commits, and then wakes somebody. A procedure, because only that can
--                commit in the middle: who is woken before the commit finds nothing. Each of its statements sees what was
--                committed up to then, so the look for a record comes after the insert: if the insert had to wait for
--                somebody who was ending this job, the look finds what that one has written.
--   _name        the job's id if that is not a UUID, else empty
--   _delay, _eta seconds, and unix seconds (0: none)
--   _now         or null
--   _class, _topic   the advisory lock that all share who wait for a job of the queue, see postgres_waking.sql
--   _payload     what one of them is told. A ring that fails is no error: the job is there, and they look by themselves
--
-- It is used by those who still run an older version, too: one that works in another way gets another name.
create procedure umbel.send(
    _id uuid, _name text, _queue text, _level smallint, _delay double precision, _eta double precision, _envelope bytea,
    _now timestamptz, _class integer, _topic integer, _payload text
) language plpgsql as $$
declare
    _at timestamptz := coalesce(_now, now());
    _due timestamptz := _at;
    _next timestamptz;
begin
    if _eta > 0 or _delay > 0 then
        _due := greatest(
            _at, case when _eta > 0 then to_timestamp(_eta) else _at + _delay * interval '1 second' end
        );
        if _due > _at then
            select min(run_at) into _next from umbel.job where queue = _queue and state = 0 and delayed;
        end if;
    end if;
    insert into umbel.job(id, name, queue, level, run_at, delayed, envelope)
    values (_id, nullif(_name, ''), _queue, _level, _due, _due > _at, _envelope)
    on conflict (id) do nothing;
    if exists (select from umbel.result where id = _id and expires > _at) then
        rollback;
        return;
    end if;
    commit;
    if _due >= _next or pg_try_advisory_xact_lock(_class, _topic) then
        return;  -- others are due before it, or nobody waits
    end if;
    begin
        perform set_config('synchronous_commit', 'off', true);
        perform pg_notify(channel, _payload) from (
            select distinct 'umbel_' || pid as channel from pg_locks
            where locktype = 'advisory' and objsubid = 2 and granted and mode = 'ShareLock'
                and classid = _class::oid and objid = _topic::oid
                and database = (select oid from pg_database where datname = current_database())
        ) as holders order by random() limit 1;
    exception when others then
        return;
    end;
end $$;
