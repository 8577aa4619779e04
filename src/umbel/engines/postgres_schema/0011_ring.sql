-- 0011 ring: those who wait for topics are woken; a function, because most rings find that nobody waits
--
-- ring           comes after the commit of what it tells; answers for how many topics somebody was told
--   _class, _topics  the advisory locks that all share who wait for a topic, see postgres_waking.sql
--   _most        how many of those who wait for each topic are told
--   _without     a channel that is not told
--
-- It is used by those who still run an older version, too: one that works in another way gets another name.
create function umbel.ring(
    _class integer, _topics integer[], _payloads text[], _most integer[], _without text
) returns integer language plpgsql as $$
declare
    _rung integer := 0;
begin
    for _nth in 1 .. cardinality(_topics) loop
        -- The exclusive lock is the quick look: who gets it knows that nobody waits. It is held for no longer than this.
        if not pg_try_advisory_xact_lock(_class, _topics[_nth]) then
            perform set_config('synchronous_commit', 'off', true);
            perform pg_notify(channel, _payloads[_nth]) from (
                select channel from (
                    select distinct 'umbel_' || pid as channel from pg_locks
                    where locktype = 'advisory' and objsubid = 2 and granted and mode = 'ShareLock'
                        and classid = _class::oid and objid = _topics[_nth]::oid
                        and database = (select oid from pg_database where datname = current_database())
                ) as holders
                where channel <> _without
                order by random()
                limit _most[_nth]
            ) as waiting;
            if found then
                _rung := _rung + 1;
            end if;
        end if;
    end loop;
    return _rung;
end $$;
