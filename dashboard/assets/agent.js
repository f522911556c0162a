// @ts-check
// A conversation that goes on: the text as it is written, until the finished turn takes its place.
import { spans, style } from "./ansi.js";
import { follow, refresh } from "./live.js";

/** Milliseconds after which finished turns are fetched. */
const REST = 400;
/** Characters of live text that are shown. */
const MAX = 100_000;

const live = document.getElementById("agent-live");
const text = document.getElementById("agent-text");
let pending = "";
let isDrawn = true;
/** @type {ReturnType<typeof setTimeout> | undefined} */
let timer;

/** @param {import("./live.js").Event} event */
function arrived(event) {
  const piece = /** @type {{ text?: string } | undefined} */ (event.data);
  if (piece?.text) pending += piece.text;
  if (isDrawn) {
    isDrawn = false;
    requestAnimationFrame(draw);
  }
  clearTimeout(timer);
  timer = setTimeout(refresh, REST);
}

function draw() {
  isDrawn = true;
  if (!text || !pending) return;
  const isAtEnd = innerHeight + scrollY >= document.documentElement.scrollHeight - 80;
  const plain = pending.split("\n").map((line) => spans(style(), line).map((span) => span[0]).join(""));
  text.append(plain.join("\n"));
  pending = "";
  if ((text.textContent ?? "").length > MAX) text.textContent = (text.textContent ?? "").slice(-MAX / 2);
  if (isAtEnd) scrollTo({ top: document.documentElement.scrollHeight });
}

let turns = document.querySelectorAll(".turn").length;
document.addEventListener("plue:refreshed", () => {
  const now = document.querySelectorAll(".turn").length;
  if (now !== turns && text) text.textContent = "";
  turns = now;
});

if (live) follow(live.dataset.topic ?? "", Number(live.dataset.seq), arrived);
