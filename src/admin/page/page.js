// Fetches the page again and replaces only what differs: nothing flickers, and the focus stays.
const EVERY = 5000;

function update(fresh) {
  for (const part of fresh.querySelectorAll("main > section")) {
    const old = document.getElementById(part.id);
    if (!old || old.outerHTML === part.outerHTML) continue;
    const focused = [...old.querySelectorAll("a")].indexOf(document.activeElement);
    old.className = part.className;
    old.replaceChildren(...part.childNodes);
    if (focused >= 0) old.querySelectorAll("a")[focused]?.focus({ preventScroll: true });
  }
  for (const part of ["title", "link[rel=icon]", "#live"]) {
    const [old, now] = [document.querySelector(part), fresh.querySelector(part)];
    if (old.outerHTML !== now.outerHTML) old.replaceWith(now);
  }
  document.documentElement.classList.remove("stale");
}

async function refresh() {
  // A refresh would discard a selection that somebody is copying.
  if (document.hidden || !getSelection().isCollapsed) return;
  try {
    const answer = await fetch(location.href, { signal: AbortSignal.timeout(EVERY) });
    if (!answer.ok) throw new Error(answer.status);
    update(new DOMParser().parseFromString(await answer.text(), "text/html"));
  } catch {
    if (!document.documentElement.classList.contains("stale")) {
      document.getElementById("live").append(": telltail does not answer any more");
      document.documentElement.classList.add("stale");
    }
  }
}

setInterval(refresh, EVERY);
document.addEventListener("visibilitychange", refresh);
