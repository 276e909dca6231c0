-- wrk script: each path of the file PATHS is POSTed once, in order, by one thread; BODY is raw or multipart.
local paths, at = {}, 0
local body, headers
local threads = 0
function setup(thread)
  thread:set("number", threads)
  threads = threads + 1
end
function init(args)
  local size = tonumber(os.getenv("SIZE") or "1024")
  local data = {}
  math.randomseed(7)
  for i = 1, size do data[i] = string.char(math.random(0, 255)) end
  data = table.concat(data)
  if os.getenv("BODY") == "multipart" then
    body = "--holdfastbound\r\nContent-Disposition: form-data; name=\"file\"; filename=\"f.bin\"\r\n" ..
           "Content-Type: application/octet-stream\r\n\r\n" .. data .. "\r\n--holdfastbound--\r\n"
    headers = { ["Content-Type"] = "multipart/form-data; boundary=holdfastbound" }
  else
    body = data
    headers = { ["Content-Type"] = "application/octet-stream" }
  end
  for line in io.lines(os.getenv("PATHS")) do paths[#paths + 1] = line end
end
function request()
  at = at + 1
  return wrk.format("POST", paths[(at - 1) % #paths + 1], headers, body)
end
local bad = 0
function response(status)
  if status ~= 201 and status ~= 204 then bad = bad + 1 end
end
