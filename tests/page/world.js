// A simulated tailnet and a real telltail in it, as processes of this test.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";

const built = (name) => path.join(import.meta.dirname, "../../target/debug", name);
const PATIENCE = 60_000;

export const TARGETS = "postgres://telltail@stackeye-db-prd:5432/app?expect=no-derp,valkey://stackeye-valkey-prd:6379?required=false";

export class World {
  #folder = mkdtempSync(path.join(tmpdir(), "telltail-page-"));
  #processes = [];
  #sim;
  #said;

  get socket() {
    return path.join(this.#folder, "tailscaled.sock");
  }

  #start(name, args, env) {
    const child = spawn(built(name), args, { env, stdio: ["pipe", "pipe", "inherit"] });
    this.#processes.push(child);
    return { child, lines: createInterface({ input: child.stdout })[Symbol.asyncIterator]() };
  }

  // The tailnet: from now on there is a tailscaled.
  async open() {
    const { child, lines } = this.#start("tailscaled-sim", ["--socket", this.socket], {});
    [this.#sim, this.#said] = [child, lines];
    await until(lines, (line) => line.startsWith("LocalAPI at "));
    await this.tell("direct");
  }

  // One of the orders of `tailscaled-sim --help`.
  async tell(order) {
    this.#sim.stdin.write(`${order}\n`);
    await until(this.#said, (line) => line === `done: ${order}`);
  }

  async telltail(settings = {}) {
    const env = {
      TELLTAIL_TARGETS: TARGETS, TELLTAIL_SOCKET: this.socket, TELLTAIL_LISTEN: "127.0.0.1:0",
      TELLTAIL_INTERVAL: "2s", TELLTAIL_TIMEOUT: "900ms", TELLTAIL_RISE: "1", TELLTAIL_FALL: "2",
      TELLTAIL_DRAIN: "60s", ...settings,
    };
    const { child, lines } = this.#start("telltail", ["run"], env);
    const started = JSON.parse(await until(lines, (line) => line.includes('"Started"')));
    // Whoever reads no log lets it block.
    (async () => { for await (const _ of { [Symbol.asyncIterator]: () => lines }); })();
    return { origin: `http://${started.address}`, pid: child.pid, end: (signal) => child.kill(signal) };
  }

  async close() {
    for (const child of this.#processes) {
      if (child.exitCode === null && child.signalCode === null) {
        child.kill("SIGKILL");
        await once(child, "exit");
      }
    }
    rmSync(this.#folder, { recursive: true });
  }
}

async function until(lines, wanted) {
  for (;;) {
    const { value, done } = await lines.next();
    if (done) throw new Error("the process has ended");
    if (wanted(value)) return value;
  }
}

// Waits until the status document is as wanted.
export async function status(origin, what, wanted) {
  const deadline = Date.now() + PATIENCE;
  for (;;) {
    const document = await (await fetch(`${origin}/api/v1/status`)).json();
    if (wanted(document)) return document;
    if (Date.now() > deadline) throw new Error(`not in time: ${what}: ${JSON.stringify(document, null, 1)}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
