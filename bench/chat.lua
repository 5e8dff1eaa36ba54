-- Posts one chat completion after another and prints what wrk measured as one line of JSON.
wrk.method = "POST"
wrk.headers["content-type"] = "application/json"
wrk.headers["authorization"] = "Bearer " .. (os.getenv("BENCH_TOKEN") or "container-bench")
for name, value in string.gmatch(os.getenv("BENCH_HEADERS") or "", "([^=|]+)=([^|]+)") do
  wrk.headers[name] = value
end
wrk.body = '{"model":"' .. (os.getenv("BENCH_MODEL") or "mock/mock") .. '","messages":['
  .. '{"role":"system","content":"You are a careful assistant that answers in one sentence."},'
  .. '{"role":"user","content":"Which stone is the wall of a bawn built of, and why was it built at all?"}],'
  .. '"temperature":0.2,"max_tokens":256}'

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '\n{"requests":%d,"seconds":%.6f,"p50_ms":%.4f,"p99_ms":%.4f,"failed":%d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1000, latency:percentile(99) / 1000,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
