// @ts-check
// The picture of a run: zoom, drag, and steps chosen without a new document.
import { key } from "./keys.js";
import { refresh } from "./live.js";

const STEP = 1.25;
const BOUNDS = [0.1, 2.5];
/** Milliseconds between two looks at bars that grow. */
const GROWS = 3000;

let scale = 0;
let fits = true;

const box = () => document.getElementById("graph");
/** @returns {SVGSVGElement | null} */
const picture = () => document.querySelector("svg[data-graph]");

/** Writes the size; after each refresh again, because the server knows nothing of it. */
function apply() {
  const [frame, svg] = [box(), picture()];
  if (!frame || !svg) return;
  const { width, height } = svg.viewBox.baseVal;
  if (fits) {
    const room = Math.min(1, (frame.clientWidth - 2) / width);
    // Text stays readable: a wide plan scrolls.
    scale = Math.max(room, width > 4000 ? BOUNDS[0] : 0.62);
  }
  svg.setAttribute("width", String(Math.round(width * scale)));
  svg.setAttribute("height", String(Math.round(height * scale)));
}

/** @param {number} factor @param {{ x: number, y: number }} [at] */
function zoom(factor, at) {
  const frame = box();
  if (!frame) return;
  const before = scale;
  fits = false;
  scale = Math.min(BOUNDS[1], Math.max(BOUNDS[0], scale * factor));
  const point = at ?? { x: frame.clientWidth / 2, y: frame.clientHeight / 2 };
  const [x, y] = [(frame.scrollLeft + point.x) / before, (frame.scrollTop + point.y) / before];
  apply();
  frame.scrollTo(x * scale - point.x, y * scale - point.y);
}

function fit() {
  const [frame, svg] = [box(), picture()];
  if (!frame || !svg) return;
  const { width, height } = svg.viewBox.baseVal;
  fits = false;
  scale = Math.min(1, (frame.clientWidth - 2) / width, Math.max(frame.clientHeight - 2, 300) / height);
  scale = Math.max(scale, BOUNDS[0]);
  apply();
}

function drag() {
  document.addEventListener("pointerdown", (event) => {
    const frame = box();
    const target = /** @type {Element} */ (event.target);
    if (!frame || event.button !== 0 || event.pointerType !== "mouse" || !frame.contains(target)) return;
    if (target.closest("a")) return;
    const from = { x: event.clientX + frame.scrollLeft, y: event.clientY + frame.scrollTop };
    frame.classList.add("pans");
    const move = (/** @type {PointerEvent} */ now) => frame.scrollTo(from.x - now.clientX, from.y - now.clientY);
    const end = () => {
      frame.classList.remove("pans");
      removeEventListener("pointermove", move);
      removeEventListener("pointerup", end);
    };
    addEventListener("pointermove", move);
    addEventListener("pointerup", end);
  });
  document.addEventListener("wheel", (event) => {
    const frame = box();
    if (!frame || !(event.ctrlKey || event.metaKey) || !frame.contains(/** @type {Node} */ (event.target))) return;
    event.preventDefault();
    const place = frame.getBoundingClientRect();
    zoom(Math.exp(-event.deltaY / 300), { x: event.clientX - place.left, y: event.clientY - place.top });
  }, { passive: false });
}

/** Shows another address of this run without a new document. @param {string} href */
async function show(href) {
  history.pushState(null, "", href);
  await refresh();
  document.querySelector(".panel")?.scrollIntoView({ block: "nearest" });
}

document.addEventListener("click", (event) => {
  const link = /** @type {Element} */ (event.target).closest("a[data-step]");
  if (!link || event.defaultPrevented || event.button !== 0) return;
  if (event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
  event.preventDefault();
  void show(link.getAttribute("href") ?? "");
});
addEventListener("popstate", () => void refresh());
document.addEventListener("click", (event) => {
  const button = /** @type {HTMLElement} */ (event.target).closest("[data-zoom]");
  const what = button?.getAttribute("data-zoom");
  if (what === "fit") fit();
  else if (what) zoom(what === "in" ? STEP : 1 / STEP);
});
document.addEventListener("plue:refreshed", start);
addEventListener("resize", apply);

function start() {
  const tools = document.getElementById("zoom");
  if (tools) tools.hidden = false;
  apply();
}

start();
drag();
key("+", "Larger picture", () => zoom(STEP));
key("-", "Smaller picture", () => zoom(1 / STEP));
key("0", "Whole picture", fit);
key("Escape", "Close the details", () => {
  const close = document.querySelector(".panel-close");
  if (close) void show(close.getAttribute("href") ?? "");
});
// Bars of running attempts grow between two events.
setInterval(() => {
  if (!document.hidden && document.querySelector("#timeline .busy")) void refresh();
}, GROWS);
