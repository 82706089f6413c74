import assert from "node:assert/strict";
import { once } from "node:events";
import { after, before, test } from "node:test";

import { createApp } from "./app.js";
import { startSandbox } from "./sandbox.js";

let sandbox;
before(async () => {
  sandbox = await startSandbox();
});
after(() => sandbox.stop());

/** The application for one test, with an account of its own on the sandbox. */
async function startApp(t, { settings, ...account } = {}) {
  const mcn = { baseUrl: sandbox.baseUrl };
  const server = createApp(mcn, settings);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(async () => {
    // What the plugin calls strictness: no request was wrong, and the webhook took every CDR.
    const { items } = await sandbox.admin("GET", `accounts/${mcn.account}/mistakes?wait=10`);
    server.closeAllConnections();
    server.close();
    assert.deepEqual(items, []);
  });
  const url = `http://127.0.0.1:${server.address().port}`;
  Object.assign(mcn, await sandbox.openAccount({ webhooks: [{ url: `${url}/webhooks/mcn` }], ...account }));

  const send = (path, body) => fetch(url + path, { method: "POST", body });
  const post = (path, content) => send(path, JSON.stringify(content));
  return {
    mcn,
    send,
    post,
    async logIn() {
      const answer = await post("/login", { phone: "79157777777" });
      assert.equal(answer.status, 202);
      return (await answer.json()).call;
    },
    async enter(call, code) {
      return (await (await post(`/login/${call}/code`, { code })).json()).ok;
    },
    async stateOf(call) {
      return (await (await fetch(`${url}/login/${call}`)).json()).state;
    },
  };
}

/** The delivery of the call's CDR, as soon as the application has acknowledged it. */
async function delivered(call) {
  const { items } = await sandbox.admin("GET", `deliveries?verification_call_uuid=${call}&state=delivered&wait=10`);
  assert.equal(items.length, 1, "no CDR was acknowledged within 10 s");
  return items[0];
}

const find = (call) => sandbox.admin("GET", `calls/${call}`);
const wrong = (code) => String((Number(code) + 1) % 10_000).padStart(4, "0");

for (const [outcome, state] of [
  ["answered", "ANSWERED"],
  ["busy", "NO ANSWER"],
  ["no_answer", "NO ANSWER"],
  ["rejected", "UNAVAILABLE"],
  ["unavailable", "UNAVAILABLE"],
]) {
  test(`a call that ends as ${outcome}`, { timeout: 20_000 }, async (t) => {
    const { mcn, logIn, enter, stateOf } = await startApp(t);
    await sandbox.admin("PATCH", `accounts/${mcn.account}`, { calls_held: true });
    const call = await logIn();
    assert.equal(await stateOf(call), "ringing");

    await sandbox.admin("POST", `calls/${call}/complete`, { outcome });
    await delivered(call);

    assert.equal(await stateOf(call), state);
    const { caller_did, code } = await find(call);
    assert.ok(caller_did.endsWith(code));
    assert.equal(await enter(call, code), true);
    assert.equal(await enter(call, code), false);
  });
}

test("a code has three attempts", async (t) => {
  const { logIn, enter } = await startApp(t);
  const call = await logIn();
  const { code } = await find(call);
  for (let i = 0; i < 3; i++) assert.equal(await enter(call, wrong(code)), false);
  assert.equal(await enter(call, code), false);
});

test("a code expires", async (t) => {
  const { logIn, enter } = await startApp(t, { settings: { codeLivesMs: 0 } });
  const call = await logIn();
  assert.equal(await enter(call, (await find(call)).code), false);
});

test("without money nobody is called", async (t) => {
  const { mcn, post } = await startApp(t, { balance: "0.14" });
  assert.equal((await post("/login", { phone: "79157777777" })).status, 503);
  assert.deepEqual((await sandbox.admin("GET", `calls?account_id=${mcn.account}`)).items, []);
});

test("the operator is down for a moment", async (t) => {
  const { mcn, post, logIn } = await startApp(t);
  await sandbox.admin("PUT", `accounts/${mcn.account}/faults`, [{ kind: "status", status: 503, accepted: false }]);
  assert.equal((await post("/login", { phone: "79157777777" })).status, 503);
  assert.ok(await logIn());
});

test("a CDR that is sent again gets the same answer", { timeout: 20_000 }, async (t) => {
  const { logIn, stateOf } = await startApp(t);
  const call = await logIn();
  const { id } = await delivered(call);
  await sandbox.admin("POST", `deliveries/${id}/resend`, {});
  const { attempts } = await delivered(call);
  assert.deepEqual(attempts.map((attempt) => attempt.status), [204, 204]);
  assert.equal(await stateOf(call), "ANSWERED");
});

test("a CDR of an unknown call is acknowledged", async (t) => {
  const { post } = await startApp(t);
  const cdr = { verification_call_uuid: "fa278be48dc2_117793", q931_status: 27 };
  assert.equal((await post("/webhooks/mcn", cdr)).status, 204);
});

test("what is not a CDR is refused", async (t) => {
  const { send } = await startApp(t);
  const notUtf8 = Buffer.from('{"verification_call_uuid": "\xff"}', "latin1");
  for (const body of ["", "{", "[]", "null", '{"verification_call_uuid": 1}', "[".repeat(50_000), notUtf8]) {
    assert.equal((await send("/webhooks/mcn", body)).status, 400, String(body).slice(0, 40));
  }
  assert.equal((await send("/webhooks/mcn", "x".repeat(2 ** 20))).status, 413);
});
