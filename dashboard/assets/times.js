// @ts-check
// Times in the reader's zone, and durations that go on.

const SECOND = 1000;
const DAY = 86_400 * SECOND;
const exact = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "long" });
const near = new Intl.DateTimeFormat(undefined, { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit" });
const far = new Intl.DateTimeFormat(undefined, { year: "numeric", month: "short", day: "numeric" });

/** @param {number} ms */
export function duration(ms) {
  const seconds = Math.floor(Math.max(ms, 0) / SECOND);
  if (seconds < 1) return `${Math.max(Math.round(ms), 0)} ms`;
  if (seconds < 60) return `${seconds}.${Math.floor((ms % SECOND) / 100)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)}m ${seconds % 60}s`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)}h ${Math.floor((seconds % 3600) / 60)}m`;
  return `${Math.floor(seconds / 86_400)}d ${Math.floor((seconds % 86_400) / 3600)}h`;
}

/** @param {number} at @param {number} now */
function ago(at, now) {
  const seconds = Math.round((now - at) / SECOND);
  if (Math.abs(seconds) < 10) return "just now";
  const words = seconds < 0 ? (/** @type {string} */ t) => `in ${t}` : (/** @type {string} */ t) => `${t} ago`;
  const size = Math.abs(seconds);
  if (size < 60) return words(`${size} s`);
  if (size < 3600) return words(`${Math.floor(size / 60)} min`);
  if (size < 86_400) return words(`${Math.floor(size / 3600)} h`);
  return now - at < 300 * DAY ? near.format(at) : far.format(at);
}

/** Writes times below a node; also for a document that is not shown yet. @param {ParentNode} root */
export function localize(root) {
  const now = Date.now();
  for (const element of root.querySelectorAll("time[data-when]")) {
    const at = Date.parse(element.getAttribute("datetime") ?? "");
    if (Number.isNaN(at)) continue;
    write(element, ago(at, now));
    const title = `${exact.format(at)} · ${new Date(at).toISOString()}`;
    if (element.getAttribute("title") !== title) element.setAttribute("title", title);
  }
  for (const element of root.querySelectorAll("[data-since]")) {
    const from = Date.parse(element.getAttribute("data-since") ?? "");
    // Without tenths: they would flicker.
    if (!Number.isNaN(from)) write(element, duration(Math.floor((now - from) / SECOND) * SECOND).replace(".0 s", " s").replace("0 ms", "0 s"));
  }
}

/** @param {Element} element @param {string} text */
function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export function startTimes() {
  localize(document);
  setInterval(() => { if (!document.hidden) localize(document); }, SECOND);
  document.addEventListener("visibilitychange", () => { if (!document.hidden) localize(document); });
}
