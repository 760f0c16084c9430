-- The request that wrk repeats: a chat of 2 KB. wrk … -- TOKEN MODEL ["Name: value" ...]
function init(arguments)
  local filler = string.rep("Some words of a conversation that went on for a while. ", 33)
  wrk.method = "POST"
  wrk.path = "/v1/chat/completions"
  wrk.headers["Content-Type"] = "application/json"
  wrk.headers["Authorization"] = "Bearer " .. arguments[1]
  for n = 3, #arguments do
    local name, value = arguments[n]:match("^([^:]+): *(.*)$")
    wrk.headers[name] = value
  end
  wrk.body = '{"model":"' .. arguments[2] .. '","messages":[{"role":"system","content":"Be brief."},'
    .. '{"role":"user","content":"' .. filler .. '"}],"temperature":0.2,"max_tokens":80}'
  request_text = wrk.format()
end

function request()
  return request_text
end

-- One line for the bench to read: answered requests, those that were not 2xx, errors of sockets, seconds.
function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format("BENCH %d %d %d %.6f\n", summary.requests, errors.status,
    errors.connect + errors.read + errors.write + errors.timeout, summary.duration / 1000000))
end
