// A sandbox for the tests: the one at MCN_MOCK_URL, or one of their own, started by the command MCN_MOCK.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";

/** `{ baseUrl, admin(method, path, content), openAccount(settings), stop() }` */
export async function startSandbox() {
  const { url, stop } = process.env.MCN_MOCK_URL ? { url: process.env.MCN_MOCK_URL, async stop() {} } : await start();

  async function admin(method, path, content) {
    const answer = await fetch(`${url}/__admin/${path}`, {
      method,
      headers: { "Content-Type": "application/json" },
      body: content && JSON.stringify(content),
    });
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${await answer.text()}`);
    return answer.status === 204 ? null : answer.json();
  }

  return {
    baseUrl: `${url}/v2/rest`,
    admin,
    /** A new account for one test, as the application needs it: `{ account, token }`. */
    async openAccount(settings) {
      const { id, token } = await admin("POST", "accounts", { balance: "10.00", ...settings });
      return { account: String(id), token };
    },
    stop,
  };
}

async function start(command = process.env.MCN_MOCK ?? "mcn-mock") {
  const child = spawn(command, ["serve", "--port", "0"], { stdio: ["ignore", "pipe", "inherit"] });
  const exited = once(child, "exit");
  // The first line says where it listens: mcn-mock listens on http://127.0.0.1:8643/v2/rest for account …
  const [first] = await Promise.race([once(createInterface({ input: child.stdout }), "line"), exited.then(() => [""])]);
  const url = first.match(/(http:\/\/\S+)\/v2\/rest/)?.[1];
  if (!url) throw new Error(`${command} did not start`);
  return {
    url,
    async stop() {
      child.kill("SIGTERM");
      await exited;
    },
  };
}
