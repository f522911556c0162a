// @ts-check
// Live pages. A page names its topics; events come over one stream of the browser, whichever tab holds it,
// and each makes the page fetch itself as a fragment and take over what is new.
//
// One tab is the leader (a Web Lock); it has the only connection and passes events on over a
// BroadcastChannel, because HTTP/1.1 allows six connections to a server for all tabs together.
import { morph, parse } from "./morph.js";
import { localize } from "./times.js";

/** Milliseconds without a tab on screen before its connection is closed. */
const HIDDEN = 60_000;
/** Milliseconds without a byte, alive marks included, before the connection counts as lost. */
const SILENT = 40_000;
/** First and longest pause before a reconnection. */
const PAUSE = [500, 15_000];
/** Milliseconds between two fetches of a page at least. */
const REST = 400;
const LOCK = "plue-live";

/** @typedef {{ topic: string, seq: number, event?: string, data?: unknown, ended?: boolean }} Event */

/** The last number seen of each topic of this tab. @type {Map<string, number>} */
const mine = new Map();
/** Topics that other tabs asked for, each with its last sign of life. @type {Map<string, Map<string, number>>} */
const others = new Map();
/** Cursor of each topic of the connection. @type {Map<string, number>} */
const cursors = new Map();
/** @type {Map<string, Set<(event: Event) => void>>} */
const listeners = new Map();
const tab = crypto.randomUUID?.() ?? String(Math.random());
/** @type {BroadcastChannel | undefined} */
let channel;
/** @type {EventSource | undefined} */
let source;
let sourceTopics = "";
let leads = false;
/** @type {(() => void) | undefined} */
let resign;
/** @type {AbortController | undefined} */
let queued;
let lastEvent = Date.now();
let lost = false;
let pause = PAUSE[0];
/** @type {ReturnType<typeof setTimeout> | undefined} */
let retry;
/** @type {ReturnType<typeof setTimeout> | undefined} */
let hiding;

/** Follows a topic, for modules with content of their own. Returns the function that ends it.
 * @param {string} topic @param {number} after @param {(event: Event) => void} listener */
export function follow(topic, after, listener) {
  const all = listeners.get(topic) ?? new Set();
  all.add(listener);
  listeners.set(topic, all);
  if (!mine.has(topic)) mine.set(topic, after);
  wake();
  return () => {
    all.delete(listener);
    if (all.size > 0) return;
    listeners.delete(topic);
    mine.delete(topic);
    announce();
  };
}

export function startLive() {
  adopt();
  addEventListener("pagehide", sleep);
  addEventListener("pageshow", (event) => { if (event.persisted) { wake(); refresh(); } });
  document.addEventListener("visibilitychange", () => {
    clearTimeout(hiding);
    if (document.hidden) hiding = setTimeout(sleep, HIDDEN);
    else if (!channel && mine.size > 0) { wake(); refresh(); }
  });
  setInterval(tick, 1000);
}

/** Takes the topics of `<main>`. */
function adopt() {
  const text = document.getElementById("main")?.dataset.topics ?? "";
  const named = new Map(text.split(" ").filter(Boolean).map((part) => {
    const at = part.lastIndexOf("@");
    return [part.slice(0, at), Number(part.slice(at + 1))];
  }));
  for (const topic of [...mine.keys()]) if (!named.has(topic) && !listeners.has(topic)) mine.delete(topic);
  for (const [topic, after] of named) mine.set(topic, Math.max(after, mine.get(topic) ?? 0));
  if (mine.size > 0) wake();
}

function wake() {
  if (!channel) {
    channel = new BroadcastChannel(LOCK);
    channel.onmessage = (message) => heard(message.data);
    lastEvent = Date.now();
    compete();
  }
  announce();
}

/** Gives up the connection and the lead; another tab takes over. */
function sleep() {
  channel?.postMessage({ kind: "gone", tab });
  resign?.();
  queued?.abort();
  close();
  channel?.close();
  channel = undefined;
  leads = false;
  shown(false);
}

function compete() {
  if (!navigator.locks) { lead(); return; }
  queued = new AbortController();
  navigator.locks.request(LOCK, { signal: queued.signal }, () => {
    lead();
    return new Promise((resolve) => { resign = () => { resign = undefined; resolve(undefined); }; });
  }).catch(() => {});
}

function lead() {
  if (!channel) return;
  leads = true;
  channel.postMessage({ kind: "who" });
  connect();
}

function announce() {
  if (leads) connect();
  else channel?.postMessage({ kind: "topics", tab, topics: [...mine] });
}

/** @param {any} message */
function heard(message) {
  if (message.kind === "who") announce();
  if (message.kind === "event" && !leads) deliver(message.event);
  if (message.kind === "state" && !leads) { lastEvent = message.at; shown(message.lost); }
  if (!leads) return;
  if (message.kind === "topics") others.set(message.tab, new Map(message.topics));
  if (message.kind === "gone") others.delete(message.tab);
  if (message.kind === "topics" || message.kind === "gone") connect();
}

/** Opens the connection for all topics, or leaves it if it has them already. */
function connect() {
  const wanted = new Map(mine);
  for (const topics of others.values()) {
    for (const [topic, after] of topics) wanted.set(topic, Math.min(after, wanted.get(topic) ?? after));
  }
  const names = [...wanted.keys()].sort();
  const text = names.join(",");
  const behind = names.some((name) => (wanted.get(name) ?? 0) < (cursors.get(name) ?? 0));
  if (source && text === sourceTopics && !behind) return;
  close();
  cursors.clear();
  for (const name of names) cursors.set(name, wanted.get(name) ?? 0);
  sourceTopics = text;
  if (names.length > 0) open();
}

function open() {
  clearTimeout(retry);
  const names = sourceTopics.split(",");
  const after = names.map((name) => cursors.get(name) ?? 0).join(",");
  const opened = new EventSource(`/api/v1/stream?topics=${encodeURIComponent(sourceTopics)}&after=${after}`);
  source = opened;
  const alive = () => { lastEvent = Date.now(); pause = PAUSE[0]; report(false); };
  opened.onopen = alive;
  opened.addEventListener("alive", alive);
  opened.addEventListener("topic", (message) => {
    alive();
    const event = /** @type {Event} */ (JSON.parse(message.data));
    cursors.set(event.topic, Math.max(event.seq, cursors.get(event.topic) ?? 0));
    channel?.postMessage({ kind: "event", event });
    deliver(event);
  });
  opened.onerror = () => { if (source === opened) again(); };
}

function close() {
  clearTimeout(retry);
  source?.close();
  source = undefined;
}

/** Connects again after a pause that grows. The cursors go with it: no gap, and nothing twice. */
function again() {
  close();
  report(true);
  retry = setTimeout(open, pause * (0.75 + Math.random() / 2));
  pause = Math.min(pause * 2, PAUSE[1]);
}

/** @param {boolean} isLost */
function report(isLost) {
  shown(isLost);
  channel?.postMessage({ kind: "state", lost: isLost, at: lastEvent });
}

/** @param {Event} event */
function deliver(event) {
  const seen = mine.get(event.topic);
  if (seen === undefined || (event.seq <= seen && !event.ended)) return;
  mine.set(event.topic, Math.max(event.seq, seen));
  const own = listeners.get(event.topic);
  if (own) for (const listener of own) listener(event);
  else { due = event.seq; refresh(); }
}

function tick() {
  if (leads && source && Date.now() - lastEvent > SILENT) again();
  const line = document.getElementById("connection");
  if (!line) return;
  line.hidden = !lost;
  if (lost) {
    const seconds = Math.round((Date.now() - lastEvent) / 1000);
    const text = `Connection lost, last event ${seconds} s ago. Trying again.`;
    if (line.textContent !== text) line.textContent = text;
  }
}

/** @param {boolean} isLost */
function shown(isLost) {
  if (lost === isLost) return;
  lost = isLost;
  tick();
}

let fetching = false;
let wanted = false;
/** Number of the last event; an answer of the server must not be older. */
let due = 0;

/** Fetches this page as a fragment and takes over what is new. */
export async function refresh() {
  wanted = true;
  if (fetching) return;
  fetching = true;
  while (wanted) {
    wanted = false;
    try {
      const answer = await fetch(location.href, { headers: { "x-plue-fragment": String(due) }, redirect: "manual" });
      if (answer.ok) take(await answer.text());
      // Signed out: the page itself shows how to go on.
      else if (answer.status === 401 || answer.type === "opaqueredirect") location.reload();
    } catch {
      // The stream notices a lost connection and reports it; the next event brings the content.
    }
    await new Promise((resolve) => setTimeout(resolve, REST));
  }
  fetching = false;
}

/** @param {string} text */
function take(text) {
  const fresh = parse(text);
  const main = document.getElementById("main");
  const next = fresh.getElementById("main");
  if (!main || !next) return;
  localize(fresh);
  morph(main, next);
  document.title = fresh.title;
  const icon = document.querySelector("link[rel=icon]");
  const href = fresh.querySelector("link[rel=icon]")?.getAttribute("href");
  if (icon && href && icon.getAttribute("href") !== href) icon.setAttribute("href", href);
  adopt();
  document.dispatchEvent(new CustomEvent("plue:refreshed"));
}
