-- Runs as they stand. ARGV: run ids. Answer: {now, view | false...}
local answer = {glance_at_clock()}
for _, id in ipairs(ARGV) do answer[#answer + 1] = view(id) end
return answer
