-- wrk script: random GETs of the paths in the file named by the environment PATHS (one per line).
local requests = {}
function init(args)
  math.randomseed(tonumber(args[1] or "1"))
  for line in io.lines(os.getenv("PATHS")) do
    requests[#requests + 1] = wrk.format("GET", line)
  end
end
function request()
  return requests[math.random(#requests)]
end
