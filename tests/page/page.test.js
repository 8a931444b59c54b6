// The status page in a real browser, of a real telltail on a simulated tailnet.
//
// One pod goes through every state. Each is checked in light, in dark and on a phone, with and without JavaScript.
// Screenshots stay in target/page.

import assert from "node:assert/strict";
import { mkdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { after, before, test } from "node:test";
import { chromium } from "playwright-core";
import { SimulatedPod, waitForStatus } from "./simulated-pod.js";

const SCREENSHOTS = path.join(import.meta.dirname, "../../target/page");
const AXE = readFileSync(path.join(import.meta.dirname, "node_modules/axe-core/axe.min.js"), "utf8");
const VIEWS = {
  light: { colorScheme: "light", viewport: { width: 1100, height: 900 } },
  dark: { colorScheme: "dark", viewport: { width: 1100, height: 900 } },
  narrow: { colorScheme: "light", viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true },
};
const HOSTILE = `<img src=x onerror=alert(1)>"'&\u202e</code><script>document.title='owned'</script>`;

let browser;
const pod = new SimulatedPod();

before(async () => {
  mkdirSync(SCREENSHOTS, { recursive: true });
  const args = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync"];
  browser = await chromium.launch({ executablePath: "/usr/bin/chromium", headless: true, args });
});

after(async () => {
  await browser?.close();
  await pod.stop();
});

// A loaded page, with the errors and requests of its browser.
async function open(origin, options) {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  const [errors, requests] = [[], []];
  page.on("console", (message) => errors.push(message.text()));
  page.on("pageerror", (error) => errors.push(String(error)));
  page.on("dialog", (dialog) => { errors.push(`dialog ${dialog.message()}`); dialog.dismiss(); });
  page.on("request", (request) => requests.push(request.url()));
  const response = await page.goto(`${origin}/`);
  return { context, page, response, errors, requests };
}

const otherRequests = (origin, requests) => requests.filter((url) => url !== `${origin}/` && !url.startsWith("data:"));

// Checks the page in every view; `expected` are texts that it shows in all of them.
async function look(origin, state, expected) {
  for (const [name, options] of Object.entries(VIEWS)) {
    const { context, page, errors, requests } = await open(origin, options);
    await page.screenshot({ path: path.join(SCREENSHOTS, `${state}-${name}.png`), fullPage: true });
    if (state === "down" && name !== "narrow") {
      // The picture in docs/status.md.
      await page.screenshot({ path: path.join(SCREENSHOTS, `picture-${name}.png`), clip: { x: 50, y: 0, width: 1000, height: 820 } });
    }
    const text = await page.innerText("body");
    for (const part of expected) assert.match(text, part, `${state}, ${name}`);
    const width = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
    assert.ok(width[0] <= width[1], `${state}, ${name}: ${width[0]} wide in ${width[1]}`);
    assert.equal(await page.evaluate(() => getComputedStyle(document.querySelector(".card")).borderTopStyle), "solid", "styled");
    assert.deepEqual(await accessibilityViolations(context, page), [], `${state}, ${name}`);
    assert.deepEqual(errors, [], `${state}, ${name}`);
    assert.deepEqual(otherRequests(origin, requests), [], `${state}, ${name}`);
    await context.close();
  }
  const { context, page, errors } = await open(origin, { javaScriptEnabled: false });
  const text = await page.innerText("body");
  for (const part of expected) assert.match(text, part, `${state}, without JavaScript`);
  assert.deepEqual(errors, []);
  await context.close();
}

// The debugger injects the checker, which the page's policy would not allow.
async function accessibilityViolations(context, page) {
  const debug = await context.newCDPSession(page);
  await debug.send("Runtime.evaluate", { expression: AXE });
  const { violations, passes } = await page.evaluate(() => axe.run({ resultTypes: ["violations"] }));
  assert.ok(passes.length > 20, "the checker has run");
  return violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(" ")}`);
}

test("a page in every state", { timeout: 170_000 }, async (t) => {
  const telltail = await pod.startTelltail();
  const { origin } = telltail;

  await t.test("unknown, because there is no tailscaled yet", async () => {
    await waitForStatus(origin, "unknown", ({ node }) => node.failure !== null);
    await look(origin, "unknown", [
      /Not ready: this pod's tailscaled is at fault \(node_socket_missing\)/, /stackeye-db-prd\s+postgres:\S+\s+unknown for /,
      /Last probe\s+none yet/, /Evidence/, /Next step/, /startup gate is shut/,
    ]);
  });

  await t.test("up", async () => {
    await pod.startTailscaled();
    await waitForStatus(origin, "up", ({ ready, targets: [db, cache] }) => ready && cache.state === "up" && db.path.rtt_ms !== null);
    await look(origin, "up", [
      /Ready: all 2 targets are up\./, /healthz answers 200/, /Path\s+direct for /, /round trip [\d.]+ ms/,
      /connect\s+[\d.]+ ms/, /optional/, /Version\s+1\.102\.5/, /Own key\s+does not expire/, /Last changes/, /\/api\/v1\/status/,
      /The worker's own connection to stackeye-db-prd, stackeye-valkey-prd is not tested/,
    ]);
    const { context, page, response } = await open(origin, {});
    const headers = response.headers();
    assert.match(headers["content-security-policy"], /^default-src 'none'; style-src 'sha256-.{44}'; script-src 'sha256-.{44}';.* frame-ancestors 'none'$/);
    for (const [name, value] of [["cache-control", "no-store"], ["referrer-policy", "no-referrer"], ["x-content-type-options", "nosniff"]]) {
      assert.equal(headers[name], value);
    }
    const links = await page.$$eval("footer a", (all) => all.map((link) => link.href).filter((href) => href.startsWith(location.origin)));
    assert.equal(links.length, 6);
    for (const link of links) assert.equal((await fetch(link)).status, 200, link);
    await context.close();
  });

  await t.test("derp, and changes are replaced without losing the focus", async () => {
    const { context, page, errors, requests } = await open(origin, VIEWS.light);
    await page.evaluate(() => { window.kept = document.querySelector("#verdict"); document.querySelector("#node").textContent = "stale"; });
    await page.focus("footer a");
    await pod.order("derp sfo");
    await pod.order("warn no-derp-home");
    await page.locator("#targets >> text=expected: no-derp").waitFor({ timeout: 60_000 });
    await page.locator("#node >> text=no-derp-home").waitFor();
    assert.ok(await page.evaluate(() => window.kept === document.querySelector("#verdict")), "the page was not reloaded");
    assert.ok(await page.evaluate(() => document.activeElement === document.querySelector("footer a")), "the focus is kept");
    assert.deepEqual([errors, otherRequests(origin, requests)], [[], []]);
    await context.close();
    await look(origin, "derp", [/Ready: all 2 targets are up\./, /Path\s+derp \(sfo\) for /, /stackeye-db-prd path is derp \(sfo\), was direct/, /no-derp-home severity medium/]);
  });

  await t.test("down", async () => {
    await pod.order("stop");
    await waitForStatus(origin, "down", ({ targets: [db] }) => db.state === "down");
    await look(origin, "down", [
      /Not ready: stackeye-db-prd is down, and the fault is with the service \(connect_refused\)\./, /healthz answers 503/,
      /local: ready/, /Evidence\s+dial failure: .*refused/, /Next step\s+Check whether the service runs/, /connect\s+failed/, /protocol\s+not tried/,
      /stackeye-db-prd is\s+down after .* up because of connect_refused, fault of the service/,
    ]);
    const { context, page } = await open(origin, {});
    assert.equal(await page.getAttribute("text=More about connect_refused", "href"),
      "https://github.com/stackeye/telltail/blob/main/docs/troubleshooting.md#connect_refused");
    assert.match(await page.title(), /^Not ready - worker - telltail$/);
    await context.close();
  });

  await t.test("a fault of the node is shown once", async () => {
    await pod.order("start");
    await pod.order("state Stopped");
    await waitForStatus(origin, "stopped", ({ node, targets }) => node.state === "down" && targets.every(({ state }) => state === "down"));
    await look(origin, "node", [/this pod's tailscaled is at fault \(node_stopped\), and no target can be reached without it\./, /State\s+stopped/]);
    const { context, page } = await open(origin, {});
    assert.equal(await page.locator(".failure").count(), 1);
    assert.equal(await page.locator(".failure code", { hasText: "tailscale down" }).count(), 1, "a command is code");
    await context.close();
  });

  await t.test("hostile text stays text", async () => {
    await pod.order("state Running");
    await waitForStatus(origin, "up again", ({ ready }) => ready);
    for (const order of ["hostname", "warn", "derp", "refuse"]) await pod.order(`${order} ${HOSTILE}`);
    await waitForStatus(origin, "hostile", ({ targets: [db] }) => db.state === "down" && db.path.kind === "derp" && db.path.region.code.includes("img"));
    await look(origin, "hostile", [/Evidence\s+.*<img src=x onerror=alert\(1\)>"'&\\u\{202e\}<\/code><script>/]);
    const { context, page } = await open(origin, {});
    assert.equal(await page.locator("img").count(), 0);
    assert.equal(await page.locator("script").count(), 1);
    assert.match(await page.title(), /^Not ready - <img src=x/);
    for (const place of [".host", "#node li code", "#targets dd", "#story code", "#trouble dd code"]) {
      assert.ok(await page.locator(place, { hasText: "<img src=x" }).count() > 0, place);
    }
    await context.close();
  });

  await t.test("draining, and then stopped", async () => {
    const { context, page } = await open(origin, VIEWS.light);
    telltail.kill("SIGTERM");
    await waitForStatus(origin, "draining", ({ readiness }) => readiness.draining);
    await look(origin, "draining", [/Not ready: telltail is shutting down\./]);
    telltail.kill("SIGTERM");
    await page.locator("text=telltail does not answer any more").waitFor({ timeout: 30_000 });
    await page.screenshot({ path: path.join(SCREENSHOTS, "gone-light.png") });
    await context.close();
  });
});
