// @ts-check
// Rows of a large log: only those on screen exist. The truth is the position in pixels of rows; the scroll
// bar shows it in a spacer of bounded height. Above that height the thumb moves in larger steps, while
// wheel, keys and touch move by what they ask for.
import { host } from "./ansi.js";

/** Height of a spacer that every browser paints and scrolls. */
const MAX_SPACER = 8_000_000;
/** Rows above and below the screen. */
const OVERSCAN = 12;
/** Rows in the page at most. */
const MAX_ROWS = 500;
const IDLE = 150;
/** Commands that begin or end a group; the page has them out of sight, for those who copy. */
const SIGN = /^(?:::(?:end)?group::|##\[(?:end)?group\])/i;

/** @typedef {import("./log-lines.js").Row} Row */

export class Window {
  /** @param {HTMLElement} box @param {import("./log-lines.js").Lines} lines @param {import("./log-folds.js").Folds} folds */
  constructor(box, lines, folds) {
    this.box = box;
    this.lines = lines;
    this.folds = folds;
    this.position = 0;
    this.set = 0;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.idle = undefined;
    this.drawn = false;
    /** @type {Map<number, HTMLElement>} */
    this.rows = new Map();
    /** Classes of a line. @type {(n: number) => string} */
    this.marks = () => "";
    /** Called after a draw. @type {() => void} */
    this.after = () => {};
    /** Called when the reader scrolls. @type {(up: boolean) => void} */
    this.moved = () => {};
    this.spacer = document.createElement("div");
    this.spacer.className = "spacer";
    this.frame = document.createElement("div");
    this.frame.className = "rows";
    this.spacer.append(this.frame);
    box.replaceChildren(this.spacer);
    box.classList.add("is-window");
    box.classList.remove("is-whole");
    this.height = this.measure();
    box.addEventListener("scroll", () => this.scrolled(), { passive: true });
    box.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    box.addEventListener("keydown", (event) => this.pressed(event));
    new ResizeObserver(() => this.resize()).observe(box);
    this.resize();
  }

  measure() {
    const row = rowOf({ n: 1, byte: 0, length: 1, at: "", err: false, spans: [["x", "", null]] });
    this.frame.append(row);
    const height = row.getBoundingClientRect().height || 20;
    row.remove();
    return height;
  }

  get view() { return this.box.clientHeight; }
  get total() { return this.folds.visible(this.lines.total) * this.height; }
  get end() { return Math.max(0, this.total - this.view); }
  get isScaled() { return this.total > MAX_SPACER; }
  /** Pixels of rows for one of the scroll bar. */
  get scale() { return this.isScaled ? this.end / Math.max(1, MAX_SPACER - this.view) : 1; }
  /** The line at the top. */
  get top() { return this.folds.line(Math.floor(this.position / this.height)); }

  resize() {
    this.spacer.style.height = `${Math.max(this.view, Math.min(this.total, MAX_SPACER))}px`;
    this.frame.style.height = `${this.view}px`;
    this.go(Math.min(this.position, this.end));
  }

  /** Moves to a position in pixels of rows. @param {number} position */
  go(position) {
    this.position = Math.max(0, Math.min(position, this.end));
    this.set = Math.round(this.position / this.scale);
    this.box.scrollTop = this.set;
    this.set = this.box.scrollTop;
    this.draw();
  }

  /** Shows a line, in the middle unless it is on screen. @param {number} n @param {boolean} [always] */
  show(n, always = false) {
    const y = this.folds.row(n) * this.height;
    const isSeen = y >= this.position && y + this.height <= this.position + this.view;
    if (!isSeen || always) this.go(y - this.view / 3);
    else this.draw();
  }

  scrolled() {
    const top = this.box.scrollTop;
    const by = top - this.set;
    if (Math.abs(by) < 1) { this.draw(); return; }
    this.set = top;
    // A far jump is the thumb's; it means a part of the log, not pixels.
    const isThumb = Math.abs(by) > this.view * 2;
    const before = this.position;
    if (!this.isScaled || isThumb) this.position = top * this.scale;
    else this.position += by;
    this.position = Math.max(0, Math.min(this.position, this.end));
    this.moved(this.position < before);
    this.draw();
    if (!this.isScaled) return;
    clearTimeout(this.idle);
    this.idle = setTimeout(() => this.go(this.position), IDLE);
  }

  /** @param {WheelEvent} event */
  wheel(event) {
    if (!this.isScaled || event.ctrlKey || event.deltaY === 0) return;
    event.preventDefault();
    const unit = event.deltaMode === 1 ? this.height : event.deltaMode === 2 ? this.view : 1;
    this.by(event.deltaY * unit);
    if (event.deltaX) this.box.scrollLeft += event.deltaX;
  }

  /** @param {number} pixels */
  by(pixels) {
    this.moved(pixels < 0);
    this.go(this.position + pixels);
  }

  /** @param {KeyboardEvent} event */
  pressed(event) {
    if (event.ctrlKey && event.key !== "Home" && event.key !== "End") return;
    if (event.altKey || event.metaKey || event.target !== this.box) return;
    const page = Math.max(this.height, this.view - 2 * this.height);
    /** @type {Record<string, number>} */
    const moves = {
      ArrowDown: this.height, ArrowUp: -this.height, PageDown: page, PageUp: -page,
      " ": event.shiftKey ? -page : page, Home: -Infinity, End: Infinity,
    };
    const by = moves[event.key];
    if (by === undefined) return;
    event.preventDefault();
    event.stopPropagation();
    this.by(by);
  }

  draw() {
    if (this.drawn) return;
    this.drawn = true;
    requestAnimationFrame(() => { this.drawn = false; this.paint(); });
  }

  paint() {
    const shown = Math.min(MAX_ROWS - 2 * OVERSCAN, Math.ceil(this.view / this.height) + 1);
    const first = Math.max(0, Math.floor(this.position / this.height) - OVERSCAN);
    const count = this.folds.visible(this.lines.total);
    const last = Math.min(count, first + shown + 2 * OVERSCAN);
    const keep = selectedRows(this.frame);
    /** @type {Set<number>} */
    const wanted = new Set();
    /** @type {Element | null} */
    let before = null;
    let missing = false;
    for (let at = first; at < last; at += 1) {
      const n = this.folds.line(at);
      const row = this.lines.get(n);
      wanted.add(n);
      missing ||= row === undefined;
      const element = this.rowAt(n, row);
      element.style.transform = `translateY(${at * this.height - this.position}px)`;
      /** @type {Element | null} */
      const place = before ? before.nextElementSibling : this.frame.firstElementChild;
      if (element !== place) this.frame.insertBefore(element, place);
      before = element;
    }
    for (const [n, element] of this.rows) {
      if (wanted.has(n)) continue;
      // Rows of a selection stay, out of sight, so that it can be copied.
      if (keep.has(element) && this.rows.size < MAX_ROWS) {
        element.style.transform = `translateY(${n < this.top ? -10000 : 10000}px)`;
        continue;
      }
      element.remove();
      this.rows.delete(n);
    }
    this.spacer.style.minWidth = `${this.frame.scrollWidth}px`;
    this.after();
    if (missing) this.load(this.folds.line(first), this.folds.line(Math.max(first, last - 1)));
  }

  /** @param {number} n @param {Row | undefined} row */
  rowAt(n, row) {
    let element = this.rows.get(n);
    const marks = this.marks(n);
    const isNew = element?.dataset.spans !== spansKey(row);
    if (!element || isNew) {
      const fresh = row ? rowOf(row) : emptyRow(n);
      fresh.dataset.spans = spansKey(row);
      if (element) element.replaceWith(fresh);
      element = fresh;
      this.rows.set(n, element);
    }
    const name = `ln${row?.err ? " err" : ""}${marks ? ` ${marks}` : ""}`;
    if (element.className !== name) element.className = name;
    return element;
  }

  /** @param {number} from @param {number} to */
  async load(from, to) {
    try {
      await this.lines.want(from, to);
      this.draw();
    } catch {
      setTimeout(() => this.draw(), 1000);
    }
  }
}

/** @param {Row | undefined} row */
function spansKey(row) {
  return row ? `${row.length}` : "";
}

/** @param {number} n */
function numberOf(n) {
  const link = document.createElement("a");
  link.className = "no";
  link.href = `#L${n}`;
  link.tabIndex = -1;
  link.dataset.n = String(n);
  link.setAttribute("aria-label", `Line ${n}`);
  return link;
}

/** A row of text; nothing of the log becomes markup. @param {Row} row */
export function rowOf(row) {
  const element = document.createElement("div");
  element.className = "ln";
  element.id = `L${row.n}`;
  const text = document.createElement("span");
  text.className = "tx";
  text.dataset.t = row.at;
  const length = row.spans.reduce((sum, span) => sum + span[0].length, 0);
  if (row.length > 16 * 1024 && length < row.length) text.append(cut(row));
  const sign = SIGN.exec(row.spans[0]?.[0] ?? "")?.[0] ?? "";
  if (sign) {
    const command = document.createElement("span");
    command.className = "sign";
    command.textContent = sign;
    text.append(command);
  }
  for (const [at, [whole, named, link]] of row.spans.entries()) {
    const part = at === 0 ? whole.slice(sign.length) : whole;
    if (!named && !link) { text.append(part); continue; }
    const span = document.createElement(link ? "a" : "span");
    if (named) span.className = named;
    span.textContent = part;
    text.append(span);
    if (!link) continue;
    span.setAttribute("href", link);
    span.setAttribute("rel", "noopener noreferrer nofollow");
    const real = document.createElement("span");
    real.className = "host";
    real.textContent = ` [${host(link)}]`;
    text.append(real);
  }
  element.append(numberOf(row.n), text);
  return element;
}

/** @param {Row} row */
function cut(row) {
  const label = document.createElement("span");
  label.className = "cut";
  label.dataset.byte = String(row.byte);
  label.dataset.length = String(row.length);
  label.textContent = `${(row.length / 1e6).toFixed(1)} MB line`;
  if (row.length < 1e6) label.textContent = `${(row.length / 1e3).toFixed(1)} kB line`;
  return label;
}

/** @param {number} n */
function emptyRow(n) {
  const element = document.createElement("div");
  element.className = "ln";
  element.id = `L${n}`;
  const text = document.createElement("span");
  text.className = "tx loading";
  element.append(numberOf(n), text);
  return element;
}

/** @param {HTMLElement} frame @returns {Set<Element>} */
function selectedRows(frame) {
  const found = new Set();
  const selection = document.getSelection();
  if (!selection || selection.isCollapsed || selection.rangeCount === 0) return found;
  const range = selection.getRangeAt(0);
  if (!range.intersectsNode(frame)) return found;
  for (const row of frame.children) if (range.intersectsNode(row)) found.add(row);
  return found;
}
