import assert from "node:assert/strict";
import { once } from "node:events";
import { after, before, test } from "node:test";
import { setTimeout } from "node:timers/promises";

import { createApp } from "./app.js";
import { startSandbox } from "./sandbox.js";

const RICH = { account: "10000001", token: "rich" };
const POOR = { account: "10000002", token: "poor" };
const mcn = {};
let app, url, sandbox;

async function listen(server) {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return `http://127.0.0.1:${server.address().port}`;
}

before(async () => {
  app = createApp(mcn, { codeLivesMs: 60_000 });
  url = await listen(app);
  // The outcome is chosen by the number that is called.
  sandbox = await startSandbox(`
    [[account]]
    id = ${RICH.account}
    token = "${RICH.token}"
    balance = "10.00"
    [[account.webhook]]
    url = "${url}/webhooks/mcn"
    [[account.outcome]]
    login_did = "79150000017"
    outcome = "busy"
    [[account.outcome]]
    login_did = "79150000018"
    outcome = "no_answer"
    [[account.outcome]]
    login_did = "79150000031"
    outcome = "rejected"
    [[account.outcome]]
    login_did = "79150000020"
    outcome = "unavailable"

    [[account]]
    id = ${POOR.account}
    token = "${POOR.token}"
    balance = "0.14"
  `);
  Object.assign(mcn, RICH, { baseUrl: sandbox.baseUrl });
});

after(async () => {
  await sandbox?.stop();
  app.closeAllConnections();
  app.close();
});

const post = (path, content, base = url) =>
  fetch(base + path, { method: "POST", body: typeof content === "string" ? content : JSON.stringify(content) });

async function logIn(phone = "79157777777", base = url) {
  const answer = await post("/login", { phone }, base);
  assert.equal(answer.status, 202);
  return (await answer.json()).call;
}

async function enter(call, code, base = url) {
  return (await (await post(`/login/${call}/code`, { code }, base)).json()).ok;
}

async function stateOf(call) {
  return (await (await fetch(`${url}/login/${call}`)).json()).state;
}

/** The state once the operator has told how the call ended. */
async function finalStateOf(call) {
  for (;;) {
    const state = await stateOf(call);
    if (state !== "ringing") return state;
    await setTimeout(5);
  }
}

const codeOf = async (call) => (await sandbox.admin(`calls/${call}`)).code;
const wrong = (code) => String((Number(code) + 1) % 10_000).padStart(4, "0");

for (const [phone, state] of [
  ["79157777777", "ANSWERED"],
  ["79150000017", "NO ANSWER"],
  ["79150000018", "NO ANSWER"],
  ["79150000031", "UNAVAILABLE"],
  ["79150000020", "UNAVAILABLE"],
]) {
  test(`a call to ${phone} ends as ${state}`, { timeout: 20_000 }, async () => {
    const call = await logIn(phone);
    assert.equal(await finalStateOf(call), state);
    const { login_did, caller_did, code } = await sandbox.admin(`calls/${call}`);
    assert.equal(login_did, phone);
    assert.ok(caller_did.endsWith(code));
    assert.equal(await enter(call, code), true);
    assert.equal(await enter(call, code), false);
  });
}

test("a code has three attempts", async () => {
  const call = await logIn();
  const code = await codeOf(call);
  for (let i = 0; i < 3; i++) assert.equal(await enter(call, wrong(code)), false);
  assert.equal(await enter(call, code), false);
});

test("a code expires", async () => {
  const impatient = createApp(mcn, { codeLivesMs: 0 });
  const base = await listen(impatient);
  try {
    const call = await logIn("79157777777", base);
    assert.equal(await enter(call, await codeOf(call), base), false);
  } finally {
    impatient.closeAllConnections();
    impatient.close();
  }
});

test("without money nobody is called", async () => {
  Object.assign(mcn, POOR);
  try {
    assert.equal((await post("/login", { phone: "79157777777" })).status, 503);
  } finally {
    Object.assign(mcn, RICH);
  }
  assert.deepEqual((await sandbox.admin(`calls?account_id=${POOR.account}`)).items, []);
});

test("a CDR that comes again gets the same answer", async () => {
  const call = await logIn();
  const cdr = { verification_call_uuid: call, q931_status: 16, final_status: "ANSWERED" };
  for (let i = 0; i < 3; i++) assert.equal((await post("/webhooks/mcn", cdr)).status, 204);
  assert.equal(await stateOf(call), "ANSWERED");
});

test("a CDR of an unknown call is acknowledged", async () => {
  const cdr = { verification_call_uuid: "fa278be48dc2_117793", q931_status: 27 };
  assert.equal((await post("/webhooks/mcn", cdr)).status, 204);
});

for (const body of ["", "{", "[]", "null", '"ANSWERED"', '{"verification_call_uuid": 1}', "[".repeat(50_000)]) {
  test(`${JSON.stringify(body.slice(0, 40))} is no CDR`, async () => {
    assert.equal((await post("/webhooks/mcn", body)).status, 400);
  });
}

test("what is no UTF-8 or too large is refused", async () => {
  const send = (body) => fetch(`${url}/webhooks/mcn`, { method: "POST", body });
  assert.equal((await send(Buffer.from('{"verification_call_uuid": "\xff"}', "latin1"))).status, 400);
  assert.equal((await send("x".repeat(2 ** 20))).status, 413);
});
