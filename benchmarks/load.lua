-- wrk's script: orders that differ in their number and code. What it saw is the last line, in JSON.
-- ACCOUNT is in the environment of wrk.
local account = os.getenv("ACCOUNT")
local n = 0

wrk.method = "POST"
wrk.headers["Authorization"] = "Bearer " .. os.getenv("TOKEN")
wrk.headers["Content-Type"] = "application/json"
wrk.headers["Content-Length"] = "0"

function request()
  n = n + 1
  return wrk.format(nil, string.format("/v2/rest/account/%s/flash_call?login_did=7915%07d&code=%04d",
                                       account, n % 10000000, n % 10000))
end

function done(summary, latency, requests)
  local errors = summary.errors
  print(string.format('{"answers": %d, "seconds": %.6f, "refused": %d, "broken": %d, "p50_us": %d, "p99_us": %d}',
    summary.requests, summary.duration / 1e6, errors.status,
    errors.connect + errors.read + errors.write + errors.timeout, latency:percentile(50), latency:percentile(99)))
end
