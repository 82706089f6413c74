// A mock of flash_call as one writes it by hand on Express: it answers, and posts the CDR. node express.cjs PORT HOOK
// With TUNED=1 in its environment it posts over kept connections of Node's own client, in place of fetch().
"use strict";
const http = require("node:http");
const { randomBytes } = require("node:crypto");
const express = require("express");

const port = Number(process.argv[2]);
const hook = new URL(process.argv[3]);
const TOKEN = "test-token";
const SUBSCRIBED = "12345678"; // account 87654321 has no webhook
const agent = new http.Agent({ keepAlive: true, maxSockets: 64 });

function fetchIt(body) {
  fetch(hook, { method: "POST", headers: { "Content-Type": "application/json" }, body })
    .then((response) => response.arrayBuffer())
    .catch((error) => console.error(error.message));
}

function requestIt(body) {
  const request = http.request(
    {
      agent,
      method: "POST",
      host: hook.hostname,
      port: hook.port,
      path: hook.pathname,
      headers: { "Content-Type": "application/json", "Content-Length": Buffer.byteLength(body) },
    },
    (response) => response.resume(),
  );
  request.on("error", (error) => console.error(error.message));
  request.end(body);
}

const send = process.env.TUNED ? requestIt : fetchIt;

function post(uuid) {
  send(JSON.stringify({ verification_call_uuid: uuid, q931_status: 16, final_status: "ANSWERED" }));
}

const app = express();
app.disable("x-powered-by");
app.disable("etag");

app.post("/v2/rest/account/:account/flash_call", (request, response) => {
  const { account } = request.params;
  if (request.get("authorization") !== `Bearer ${TOKEN}`) {
    response.status(401).json({ status: "error", code: 401, errors: [{ code: "unauthorized" }] });
    return;
  }
  const { login_did: loginDid, code } = request.query;
  if (!/^\d{10,15}$/.test(loginDid ?? "")) {
    response.status(400).json({ status: "error", code: 400, errors: [{ code: "invalid_parameter" }] });
    return;
  }
  const uuid = `${randomBytes(6).toString("hex")}_${account}`;
  response.json({
    status: "success",
    code: 200,
    object: { login_did: loginDid, code, account_id: account, verification_call_uuid: uuid },
  });
  if (account === SUBSCRIBED) setImmediate(post, uuid);
});

app.listen(port, "127.0.0.1");
