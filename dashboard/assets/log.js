// @ts-check
// The log of an attempt. Up to 5,000 lines it is in the page as HTML; a larger one is shown by windows.
import { key } from "./keys.js";
import { follow } from "./live.js";
import { Errors, Find } from "./log-find.js";
import { Folds } from "./log-folds.js";
import { Lines } from "./log-lines.js";
import { Whole } from "./log-whole.js";
import { Window } from "./log-window.js";

/** Lines that may be in the page as a whole. */
const WHOLE = 5000;
/** Milliseconds between two draws of what the stream brings. */
const BATCH = 50;
/** Milliseconds between two spoken changes. */
const SPOKEN = 10_000;
/** Bytes of a long line that one press shows. */
const PART = 64 * 1024;

const log = /** @type {HTMLElement} */ (document.getElementById("log"));
const box = /** @type {HTMLElement} */ (document.getElementById("log-box"));
const news = /** @type {HTMLButtonElement} */ (document.getElementById("log-new"));
const button = (/** @type {string} */ name) => /** @type {HTMLButtonElement | null} */ (document.getElementById(`log-${name}`));

const api = log.dataset.api ?? "";
const lines = new Lines(api, Number(log.dataset.lines), Number(log.dataset.bytes));
const folds = new Folds();
/** @type {Whole | Window} */
let view = log.dataset.whole === undefined ? new Window(box, lines, folds) : new Whole(box, lines, folds);
const find = new Find(api, show, () => view.top, () => view.draw());
const errors = new Errors(show, () => view.top);
/** First and last selected line. @type {[number, number]} */
let selected = [0, 0];
let follows = log.dataset.ended === undefined;
let unseen = 0;
let spoken = 0;

function wire() {
  view.marks = (n) => {
    const names = [];
    if (n >= selected[0] && n <= selected[1]) names.push("sel");
    if (find.matching.has(n)) names.push("hit");
    if (find.current === n) names.push("cur");
    if (errors.set.has(n)) names.push("bad-line");
    const group = folds.at(n);
    if (group) names.push(folds.folded.has(n) ? "group is-folded" : "group");
    return names.join(" ");
  };
  view.moved = (up) => {
    if (up) following(false);
    else if (view.position >= view.end - 2) following(true);
  };
}

/** @param {number} n */
function show(n) {
  following(false);
  folds.reveal(n);
  view.show(n);
}

/** @param {boolean} isOn */
function following(isOn) {
  follows = isOn && log.dataset.ended === undefined;
  button("follow")?.setAttribute("aria-pressed", String(follows));
  if (follows) { unseen = 0; view.go(Infinity); }
  announceNew();
}

function announceNew() {
  news.hidden = unseen === 0;
  const text = `${unseen.toLocaleString("en")} new ${unseen === 1 ? "line" : "lines"} ↓`;
  if (unseen > 0 && news.textContent !== text) news.textContent = text;
}

/** @param {string} text */
function speak(text) {
  const status = document.getElementById("log-status");
  if (!status || Date.now() - spoken < SPOKEN) return;
  spoken = Date.now();
  status.textContent = text;
}

// What the stream brings, collected and drawn once per frame.
/** @type {import("./log-lines.js").Piece[]} */
let pieces = [];
let drawing = false;
let lastDraw = 0;

/** @param {import("./live.js").Event} event */
function arrived(event) {
  if (event.data) pieces.push(/** @type {any} */ (event.data));
  if (event.ended) ended();
  else if (!drawing) later();
}

function later() {
  drawing = true;
  const wait = Math.max(0, BATCH - (performance.now() - lastDraw));
  setTimeout(() => requestAnimationFrame(take), wait);
}

async function take() {
  lastDraw = performance.now();
  const batch = pieces;
  pieces = [];
  const before = lines.total;
  try {
    await lines.add(batch);
  } catch {
    pieces = [...batch, ...pieces];
    setTimeout(later, 1000);
    return;
  }
  drawing = false;
  grown(lines.total - before);
  if (pieces.length > 0) later();
}

/** @param {number} by */
function grown(by) {
  const length = document.getElementById("log-length");
  if (length) length.textContent = `${lines.total.toLocaleString("en")} ${lines.total === 1 ? "line" : "lines"}`;
  if (lines.total > 0) document.getElementById("log-empty")?.remove();
  if (view instanceof Whole && lines.total > WHOLE) {
    view.leave();
    view = new Window(box, lines, folds);
    wire();
  }
  view.resize();
  if (follows) view.go(Infinity);
  else unseen += by;
  announceNew();
}

async function ended() {
  if (pieces.length > 0) await take();
  log.dataset.ended = "";
  button("follow")?.remove();
  following(false);
  speak("The log is complete.");
  marks();
}

async function marks() {
  if (lines.total === 0) return;
  const answer = await fetch(`${api}/marks`).catch(() => undefined);
  if (!answer?.ok) return;
  const found = await answer.json();
  errors.take(found);
  folds.take(found.groups);
  const fold = button("fold");
  if (fold) fold.hidden = folds.groups.length === 0;
  view.draw();
}

/** Lines of the address: `#L120` or `#L120-L140`. */
function fromAddress() {
  const found = /^#L(\d+)(?:-L?(\d+))?$/.exec(location.hash);
  if (!found) { selected = [0, 0]; return false; }
  const [a, b] = [Number(found[1]), Number(found[2] ?? found[1])];
  select(Math.min(a, b), Math.max(a, b));
  following(false);
  folds.reveal(selected[0]);
  view.show(selected[0], true);
  return true;
}

/** @param {number} from @param {number} to */
function select(from, to) {
  selected = [from, to];
  const copy = button("copy");
  if (copy) {
    copy.hidden = from === 0;
    copy.textContent = from === to ? "Copy line" : `Copy ${(to - from + 1).toLocaleString("en")} lines`;
  }
  view.draw();
}

/** @param {MouseEvent} event */
function clicked(event) {
  const target = /** @type {HTMLElement} */ (event.target);
  const number = Number(target.closest("a.no")?.getAttribute("data-n") ?? 0);
  if (number) {
    event.preventDefault();
    const from = event.shiftKey && selected[0] ? Math.min(selected[0], number) : number;
    const to = event.shiftKey && selected[0] ? Math.max(selected[0], number) : number;
    history.replaceState(null, "", from === to ? `#L${from}` : `#L${from}-L${to}`);
    following(false);
    select(from, to);
    return;
  }
  const cut = /** @type {HTMLElement | null} */ (target.closest(".cut"));
  if (cut) { expand(cut); return; }
  const row = target.closest(".ln.group");
  const isText = document.getSelection()?.isCollapsed === false;
  if (row && !isText && !target.closest("a")) {
    folds.toggle(Number(row.querySelector("a.no")?.getAttribute("data-n")));
    view.resize();
  }
}

/** Shows the next part of a long line. @param {HTMLElement} cut */
async function expand(cut) {
  const text = cut.parentElement;
  const shown = Number(cut.dataset.shown ?? 16 * 1024);
  const [byte, length] = [Number(cut.dataset.byte), Number(cut.dataset.length)];
  if (!text || shown >= length) return;
  const to = Math.min(length, shown + PART);
  text.append(await lines.part(byte + shown, byte + to));
  cut.dataset.shown = String(to);
  cut.textContent = to >= length ? "whole line" : `${Math.round((100 * to) / length)} % shown`;
}

/** Copies what is selected without line numbers, and what scrolled away too. @param {ClipboardEvent} event */
function copied(event) {
  const selection = document.getSelection();
  if (!selection || selection.isCollapsed) return;
  const [start, end] = [selection.anchorNode, selection.focusNode].map((node) => {
    const element = node instanceof Element ? node : node?.parentElement;
    return Number(element?.closest(".ln")?.querySelector("a.no")?.getAttribute("data-n") ?? 0);
  });
  if (!start || !end || start === end) return;
  const texts = [];
  for (let n = Math.min(start, end); n <= Math.max(start, end); n += 1) {
    const row = document.getElementById(`L${n}`)?.querySelector(".tx");
    if (!row) { event.preventDefault(); copyRaw(Math.min(start, end), Math.max(start, end)); return; }
    texts.push(row.textContent);
  }
  event.preventDefault();
  event.clipboardData?.setData("text/plain", texts.join("\n"));
}

/** @param {number} from @param {number} to */
async function copyRaw(from, to) {
  const copy = button("copy");
  try {
    await navigator.clipboard.writeText(await lines.raw(from, to));
    if (copy) copy.textContent = "Copied";
  } catch {
    if (copy) copy.textContent = "Not copied: the browser refused";
  }
}

/** @param {KeyboardEvent} event */
function findKey(event) {
  const isFind = (event.ctrlKey || event.metaKey) && event.key === "f";
  // A whole log is searched by the browser; the second press always is.
  if (!isFind || view instanceof Whole || document.activeElement === find.query) return;
  event.preventDefault();
  find.query.focus();
  find.query.select();
}

function startKeys() {
  key("n", "Next error", () => errors.step(1));
  key("p", "Previous error", () => errors.step(-1));
  key("f", "Follow the log", () => following(true));
  key("t", "Timestamps", () => button("times")?.click());
  key("l", "Go to a line", () => {
    const line = Number(prompt("Go to line"));
    if (line > 0) { history.replaceState(null, "", `#L${Math.min(line, lines.total)}`); fromAddress(); }
  });
  document.addEventListener("keydown", findKey);
}

function start() {
  wire();
  for (const hidden of log.querySelectorAll("[data-script]")) /** @type {HTMLElement} */ (hidden).hidden = false;
  box.addEventListener("click", clicked);
  document.addEventListener("copy", copied);
  news.addEventListener("click", () => { following(true); view.go(Infinity); });
  button("follow")?.addEventListener("click", () => following(!follows));
  button("copy")?.addEventListener("click", () => copyRaw(...selected));
  button("fold")?.addEventListener("click", (event) => {
    const isFolded = folds.folded.size === 0;
    folds.all(isFolded);
    /** @type {HTMLElement} */ (event.currentTarget).textContent = isFolded ? "Open groups" : "Fold groups";
    view.resize();
  });
  button("times")?.addEventListener("click", (event) => {
    const isOn = box.classList.toggle("times");
    /** @type {HTMLElement} */ (event.currentTarget).setAttribute("aria-pressed", String(isOn));
  });
  addEventListener("hashchange", fromAddress);
  startKeys();
  if (!fromAddress()) {
    if (follows) following(true);
    else if (view instanceof Window && log.dataset.first !== "1") view.show(Number(log.dataset.first), true);
  }
  marks();
  if (log.dataset.ended === undefined) follow(log.dataset.topic ?? "", Number(log.dataset.seq), arrived);
}

start();
