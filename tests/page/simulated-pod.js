// A pod as processes of this test: a simulated tailscaled, and a real telltail beside it.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";

const built = (name) => path.join(import.meta.dirname, "../../target/debug", name);
const STATUS_TIMEOUT_MS = 60_000;

export const TARGETS = "postgres://telltail@stackeye-db-prd:5432/app?expect=no-derp,valkey://stackeye-valkey-prd:6379?required=false";

export class SimulatedPod {
  #folder = mkdtempSync(path.join(tmpdir(), "telltail-page-"));
  #processes = [];
  #tailscaled;
  #tailscaledOutput;

  get socket() {
    return path.join(this.#folder, "tailscaled.sock");
  }

  #start(name, args, env) {
    const child = spawn(built(name), args, { env, stdio: ["pipe", "pipe", "inherit"] });
    this.#processes.push(child);
    return { child, lines: createInterface({ input: child.stdout })[Symbol.asyncIterator]() };
  }

  async startTailscaled() {
    const { child, lines } = this.#start("tailscaled-sim", ["--socket", this.socket], {});
    [this.#tailscaled, this.#tailscaledOutput] = [child, lines];
    await readUntil(lines, (line) => line.startsWith("LocalAPI at "));
    await this.order("direct");
  }

  // One of the orders of `tailscaled-sim --help`.
  async order(order) {
    this.#tailscaled.stdin.write(`${order}\n`);
    await readUntil(this.#tailscaledOutput, (line) => line === `done: ${order}`);
  }

  async startTelltail() {
    const env = {
      TELLTAIL_TARGETS: TARGETS, TELLTAIL_SOCKET: this.socket, TELLTAIL_LISTEN: "127.0.0.1:0",
      TELLTAIL_INTERVAL: "2s", TELLTAIL_TIMEOUT: "900ms", TELLTAIL_RISE: "1", TELLTAIL_FALL: "2",
      TELLTAIL_DRAIN: "60s",
    };
    const { child, lines } = this.#start("telltail", ["run"], env);
    const started = JSON.parse(await readUntil(lines, (line) => line.includes('"Started"')));
    // An unread log would fill its pipe.
    (async () => { for await (const _ of { [Symbol.asyncIterator]: () => lines }); })();
    return { origin: `http://${started.address}`, kill: (signal) => child.kill(signal) };
  }

  async stop() {
    for (const child of this.#processes) {
      if (child.exitCode === null && child.signalCode === null) {
        child.kill("SIGKILL");
        await once(child, "exit");
      }
    }
    rmSync(this.#folder, { recursive: true });
  }
}

async function readUntil(lines, matches) {
  for (;;) {
    const { value, done } = await lines.next();
    if (done) throw new Error("the process has ended");
    if (matches(value)) return value;
  }
}

export async function waitForStatus(origin, description, matches) {
  const deadline = Date.now() + STATUS_TIMEOUT_MS;
  for (;;) {
    const document = await (await fetch(`${origin}/api/v1/status`)).json();
    if (matches(document)) return document;
    if (Date.now() > deadline) throw new Error(`timed out: ${description}: ${JSON.stringify(document, null, 1)}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
