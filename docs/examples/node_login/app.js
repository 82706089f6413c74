// A login by flash call: the number that rings ends in the code.

import { randomInt } from "node:crypto";
import { createServer } from "node:http";

const MAX_BODY = 64 * 1024;

class HttpError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** The application, as an http.Server. `mcn` is `{ baseUrl, account, token }`. */
export function createApp(mcn, { codeLivesMs = 300_000, attempts = 3 } = {}) {
  const logins = new Map(); // verification_call_uuid -> { code, attemptsLeft, askedAt }
  const calls = new Map(); // verification_call_uuid -> how the call ended

  async function logIn(body) {
    const { phone } = parseObject(body);
    if (typeof phone !== "string" || !/^[0-9]{7,15}$/.test(phone)) throw new HttpError(400, "phone is digits");
    const code = String(randomInt(10_000)).padStart(4, "0");
    const call = await flashCall(mcn, phone, code);
    logins.set(call, { code, attemptsLeft: attempts, askedAt: Date.now() });
    return [202, { call }];
  }

  function look(call) {
    if (!logins.has(call)) throw new HttpError(404, "no such login");
    return [200, { state: calls.get(call) ?? "ringing" }];
  }

  function checkCode(call, body) {
    const { code } = parseObject(body);
    const login = logins.get(call);
    if (!login || login.attemptsLeft === 0 || Date.now() - login.askedAt >= codeLivesMs) return [200, { ok: false }];
    const ok = code === login.code;
    login.attemptsLeft = ok ? 0 : login.attemptsLeft - 1; // a right code is good once
    return [200, { ok }];
  }

  function webhook(body) {
    const cdr = parseObject(body);
    const { verification_call_uuid: call } = cdr;
    const finalStatus = cdr.final_status || "UNAVAILABLE"; // it may be absent, empty or null
    if (typeof call !== "string" || typeof finalStatus !== "string") throw new HttpError(400, "this is not a CDR");
    // It may be here before the answer to our own request, so it is kept whether or not there is a login yet.
    calls.set(call, finalStatus);
    return [204];
  }

  const routes = [
    ["POST", /^\/login$/, (_, body) => logIn(body)],
    ["GET", /^\/login\/(\w+)$/, (call) => look(call)],
    ["POST", /^\/login\/(\w+)\/code$/, (call, body) => checkCode(call, body)],
    ["POST", /^\/webhooks\/mcn$/, (_, body) => webhook(body)],
  ];

  async function handle(request) {
    const path = request.url.split("?", 1)[0];
    const found = routes.filter(([, pattern]) => pattern.test(path));
    if (found.length === 0) throw new HttpError(404, "no such path");
    const route = found.find(([method]) => method === request.method);
    if (!route) throw new HttpError(405, "another method");
    return route[2](path.match(route[1])[1], await readBody(request));
  }

  return createServer(async (request, response) => {
    let status, content;
    try {
      [status, content] = await handle(request);
    } catch (error) {
      if (!(error instanceof HttpError)) console.error(error);
      [status, content] = [error.status ?? 500, { error: error.status ? error.message : "we failed" }];
    }
    response.writeHead(status, content && { "Content-Type": "application/json" });
    response.end(content && JSON.stringify(content));
  });
}

/** Ring the phone from a number that ends in the code; the call's uuid. */
async function flashCall({ baseUrl, account, token }, phone, code) {
  const query = new URLSearchParams({ login_did: phone, code });
  try {
    const answer = await fetch(`${baseUrl}/account/${account}/flash_call?${query}`, {
      method: "POST",
      headers: { Authorization: `Bearer ${token}`, "Content-Type": "application/json", Accept: "application/json" },
      signal: AbortSignal.timeout(10_000),
    });
    if (!answer.ok) throw new Error(`the operator answered ${answer.status}: ${await answer.text()}`);
    return (await answer.json()).object.verification_call_uuid;
  } catch (error) {
    console.warn(error.message);
    throw new HttpError(503, "we cannot call you now");
  }
}

async function readBody(request) {
  const chunks = [];
  let length = 0;
  for await (const chunk of request) {
    length += chunk.length;
    if (length <= MAX_BODY) chunks.push(chunk); // what is too large is read to its end, but not kept
  }
  if (length > MAX_BODY) throw new HttpError(413, "the body is too large");
  return Buffer.concat(chunks);
}

function parseObject(body) {
  let content;
  try {
    content = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(body));
  } catch {
    throw new HttpError(400, "the body is not JSON");
  }
  if (content === null || typeof content !== "object" || Array.isArray(content)) {
    throw new HttpError(400, "the body is not a JSON object");
  }
  return content;
}
