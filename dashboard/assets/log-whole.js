// @ts-check
// Rows of a small log: all of them are in the page, so that the browser's own search and selection work.
import { rowOf } from "./log-window.js";

/** Rows that the browser lays out together. */
const CLUSTER = 50;

export class Whole {
  /** @param {HTMLElement} box @param {import("./log-lines.js").Lines} lines @param {import("./log-folds.js").Folds} folds */
  constructor(box, lines, folds) {
    this.box = box;
    this.lines = lines;
    this.folds = folds;
    /** @type {(n: number) => string} */
    this.marks = () => "";
    /** @type {(up: boolean) => void} */
    this.moved = () => {};
    this.set = 0;
    this.drawn = false;
    this.known = lines.total;
    this.listener = () => this.scrolled();
    box.addEventListener("scroll", this.listener, { passive: true });
  }

  get position() { return this.box.scrollTop; }
  get end() { return this.box.scrollHeight - this.box.clientHeight; }

  /** The line at the top. */
  get top() {
    const edge = this.box.getBoundingClientRect().top;
    for (const row of this.box.querySelectorAll(".ln:not([hidden])")) {
      if (row.getBoundingClientRect().bottom > edge + 1) return Number(row.id.slice(1));
    }
    return 1;
  }

  leave() {
    this.box.removeEventListener("scroll", this.listener);
  }

  scrolled() {
    const top = this.box.scrollTop;
    const by = top - this.set;
    this.set = top;
    if (Math.abs(by) >= 1) this.moved(by < 0);
  }

  /** @param {number} position */
  go(position) {
    this.box.scrollTop = position === Infinity ? this.box.scrollHeight : position;
    this.set = this.box.scrollTop;
  }

  /** @param {number} n */
  show(n) {
    const row = document.getElementById(`L${n}`);
    if (row) {
      row.scrollIntoView({ block: "center", inline: "nearest" });
      this.set = this.box.scrollTop;
    }
    this.draw();
  }

  /** Takes over lines that were added, and the one that grew. */
  resize() {
    const { tail } = this.lines;
    for (let at = Math.max(0, this.known - (tail[0]?.n ?? 0)); at < tail.length; at += 1) {
      const row = tail[at];
      const old = document.getElementById(`L${row.n}`);
      if (old && old.dataset.length === String(row.length)) continue;
      const fresh = rowOf(row);
      fresh.dataset.length = String(row.length);
      if (old) old.replaceWith(fresh);
      else this.cluster().append(fresh);
    }
    this.known = this.lines.total;
    this.draw();
  }

  cluster() {
    const last = this.box.lastElementChild;
    if (last?.classList.contains("cl") && last.childElementCount < CLUSTER) return last;
    const fresh = document.createElement("div");
    fresh.className = "cl";
    this.box.append(fresh);
    return fresh;
  }

  draw() {
    if (this.drawn) return;
    this.drawn = true;
    requestAnimationFrame(() => { this.drawn = false; this.paint(); });
  }

  paint() {
    const hidden = this.folds.hidden;
    for (const row of /** @type {NodeListOf<HTMLElement>} */ (this.box.querySelectorAll(".ln"))) {
      const n = Number(row.id.slice(1));
      const marks = this.marks(n);
      const name = `ln${row.classList.contains("err") ? " err" : ""}${marks ? ` ${marks}` : ""}`;
      if (row.className !== name) row.className = name;
      const isHidden = hidden.some(([first, last]) => n >= first && n <= last);
      if (row.hidden !== isHidden) row.hidden = isHidden;
    }
  }
}
