-- includes: now forward read
-- A flow is the HASH `flow:<id>`: created state ended ttl expires plan keys ends bad; per node n:<node>, the text
-- "members added joined failed first sent jobs"; per member that joined <node>:<member>, 1 or 0 (failed) and its value;
-- per chunk of jobs that are not sent j:<node>:<group>:<number>; a:<node>:<by> for each added member; per node that has
-- opened o:<node>, when, in ms.
-- `flow-more:<id>`, a ZSET, has <node>:<member> of joined members beyond the first ones, in order.
-- jobs: per queue kind chunks:length:place (see hand); a node without jobs is an end.
local function text_of(members, added, joined, failed, first, sent, jobs)
  return string.format('%d %d %d %d %s %s ', members, added, joined, failed, first, sent) .. jobs
end

-- open: the node has its last member. Its jobs are sent, at most 256 now; the last end ends the flow. Sent first, marked
-- last: a cut repeats.
local function open(home, flow, node, state)
  local members, added, joined, failed, first, _, jobs = read(state)
  local key = home .. 'flow:' .. flow
  local mark = { 'n:' .. node, text_of(members, added, joined, failed, first, '1', jobs), 'o:' .. node, now }
  local place, group, left = 1, 0, 256
  while place <= #jobs do
    local kind, chunks, length, from = string.match(jobs, '^(%a)(%d+):(%d+):()', place)
    place = from + length
    local rest = { home, flow, node, group, kind, string.sub(jobs, from, place - 1), 0, tonumber(chunks) }
    left = left - (left > 0 and forward(rest, left) or 0)
    if rest[7] < rest[8] then
      redis.call('RPUSH', kind == 'J' and rest[6] .. 'opening' or home .. 'posting', cmsgpack.pack(rest))
    end
    group = group + 1
  end
  if jobs == '' then
    local meta = redis.call('HMGET', key, 'ends', 'bad', 'state', 'ttl')
    local ends, bad = meta[1] - 1, meta[2] + (failed > 0 and 1 or 0)
    for _, word in ipairs({ 'ends', ends, 'bad', bad }) do
      mark[#mark + 1] = word
    end
    if ends == 0 then
      for _, word in ipairs({ 'ended', now, 'state', meta[3] == 'running' and (bad > 0 and 'failed' or 'succeeded') or meta[3] }) do
        mark[#mark + 1] = word
      end
      redis.call('ZADD', home .. 'flows:over', now + meta[4], flow)
      -- A reclaim comes first, and frees them beside the server's work; this is for a queue that nobody looks after.
      redis.call('PEXPIRE', home .. 'flow-more:' .. flow, meta[4] + 60000)
      redis.call('PEXPIRE', key, meta[4] + 60000)
    end
  end
  redis.call('HSET', key, unpack(mark))
end
