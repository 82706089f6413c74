(config) => {
  const account = config.request.path.split("/")[4];
  if (config.request.headers.Authorization !== "Bearer test-token") return { statusCode: 401 };
  const http = require("node:http");
  const uuid = `${require("node:crypto").randomBytes(6).toString("hex")}_${account}`;
  if (account === "12345678") {
    global.hookAgent ??= new http.Agent({ keepAlive: true, maxSockets: 64 });
    const body = JSON.stringify({ verification_call_uuid: uuid, q931_status: 16, final_status: "ANSWERED" });
    const headers = { "Content-Type": "application/json", "Content-Length": Buffer.byteLength(body) };
    const request = http.request("@HOOK@", { agent: global.hookAgent, method: "POST", headers }, (r) => r.resume());
    request.on("error", (error) => config.logger.error(error.message));
    request.end(body);
  }
  const { login_did, code } = config.request.query;
  return {
    statusCode: 200,
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({
      status: "success",
      code: 200,
      object: { login_did, code, account_id: account, verification_call_uuid: uuid },
    }),
  };
}
