// Starts `mcn-mock serve` for the tests. MCN_MOCK is the command where it is not on the PATH.

import { spawn } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { once } from "node:events";
import { createInterface } from "node:readline";

/** A sandbox with this configuration on a free port: `{ url, admin(path), stop() }`. */
export async function startSandbox(toml) {
  const folder = await mkdtemp(join(tmpdir(), "mcn-mock-"));
  const config = join(folder, "mcn-mock.toml");
  await writeFile(config, toml);
  const command = process.env.MCN_MOCK ?? "mcn-mock";
  const child = spawn(command, ["serve", "--port", "0", "--config", config], { stdio: ["ignore", "pipe", "inherit"] });
  const exited = once(child, "exit");
  const lines = createInterface({ input: child.stdout });
  // The first line says where it listens: mcn-mock listens on http://127.0.0.1:8643/v2/rest for account …
  const [first] = await Promise.race([once(lines, "line"), exited.then(() => [""])]);
  const baseUrl = first.match(/http:\/\/\S+/)?.[0];
  if (!baseUrl) throw new Error(`${command} did not start`);
  const admin = baseUrl.replace("/v2/rest", "/__admin");

  return {
    baseUrl,
    async admin(path) {
      return (await fetch(`${admin}/${path}`)).json();
    },
    async stop() {
      child.kill("SIGTERM");
      await exited;
      await rm(folder, { recursive: true });
    },
  };
}
