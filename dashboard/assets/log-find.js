// @ts-check
// Search of a log by the server: an exact count, the numbers of matching lines, and jumps among them; and
// jumps among lines that look like errors.

/** Milliseconds without a key before a search starts. */
const REST = 180;

/** @typedef {{ groups: import("./log-folds.js").Group[], errors: number[], complete: boolean }} Marks */

export class Find {
  /** @param {string} api @param {(n: number) => void} show @param {() => number} top @param {() => void} changed */
  constructor(api, show, top, changed) {
    this.api = api;
    this.show = show;
    this.top = top;
    this.changed = changed;
    this.query = /** @type {HTMLInputElement} */ (document.getElementById("log-query"));
    this.regex = /** @type {HTMLInputElement} */ (document.getElementById("log-regex"));
    this.case = /** @type {HTMLInputElement} */ (document.getElementById("log-case"));
    this.count = /** @type {HTMLElement} */ (document.getElementById("log-count"));
    /** @type {number[]} */
    this.found = [];
    /** @type {Set<number>} */
    this.matching = new Set();
    this.total = 0;
    this.current = 0;
    /** @type {AbortController | undefined} */
    this.running = undefined;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.timer = undefined;
    for (const field of [this.query, this.regex, this.case]) field.addEventListener("input", () => this.later());
    this.query.form?.addEventListener("submit", (event) => { event.preventDefault(); this.step(1); });
    this.query.addEventListener("keydown", (event) => this.pressed(event));
    document.getElementById("log-next")?.addEventListener("click", () => this.step(1));
    document.getElementById("log-prev")?.addEventListener("click", () => this.step(-1));
  }

  /** @param {KeyboardEvent} event */
  pressed(event) {
    if (event.key === "Enter" && event.shiftKey) {
      event.preventDefault();
      this.step(-1);
    }
    if (event.key === "Escape" && this.query.value) {
      event.preventDefault();
      this.query.value = "";
      this.later();
    }
  }

  later() {
    this.running?.abort();
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.start(), REST);
  }

  async start() {
    const text = this.query.value;
    this.running = new AbortController();
    const { signal } = this.running;
    this.take([], 0, 0);
    this.say("");
    if (!text) return;
    this.say("…");
    const base = `${this.api}/find?q=${encodeURIComponent(text)}&regex=${this.regex.checked}&case=${this.case.checked}&limit=0`;
    /** @type {number[]} */
    const lines = [];
    let total = 0;
    let next = "";
    try {
      do {
        const answer = await fetch(next ? `${base}&cursor=${encodeURIComponent(next)}` : base, { signal });
        const body = await answer.json();
        if (!answer.ok) { this.say(body.detail ?? "no valid pattern", true); return; }
        total += body.count;
        if (lines.length < 10_000) lines.push(...body.lines);
        next = body.next ?? "";
        const isFirst = this.found.length === 0 && lines.length > 0;
        this.take(lines, total, this.current);
        if (isFirst) this.nearest();
        this.say(next ? `${total.toLocaleString("en")}…` : this.place());
      } while (next);
    } catch (error) {
      if (!signal.aborted) this.say("search failed; try again", true);
    }
  }

  /** @param {number[]} lines @param {number} total @param {number} current */
  take(lines, total, current) {
    this.found = [...lines];
    this.matching = new Set(lines);
    this.total = total;
    this.current = current;
    this.changed();
  }

  /** Goes to the first match from the top of the screen on. */
  nearest() {
    const top = this.top();
    const at = this.found.findIndex((n) => n >= top);
    this.to(at < 0 ? 0 : at);
  }

  /** @param {1 | -1} by */
  async step(by) {
    if (this.found.length === 0) return;
    const at = this.found.indexOf(this.current);
    if (by > 0 && at === this.found.length - 1 && this.total > this.found.length) await this.more();
    const next = this.found.indexOf(this.current) + by;
    this.to((next + this.found.length) % this.found.length);
    this.say(this.place());
  }

  /** Fetches the matches behind the last known one. */
  async more() {
    const last = this.found.at(-1) ?? 0;
    const query = `q=${encodeURIComponent(this.query.value)}&regex=${this.regex.checked}&case=${this.case.checked}`;
    const answer = await fetch(`${this.api}/find?${query}&limit=0&from_line=${last + 1}`);
    if (!answer.ok) return;
    const { lines } = await answer.json();
    this.found.push(...lines);
    for (const n of lines) this.matching.add(n);
  }

  /** @param {number} at */
  to(at) {
    this.current = this.found[at] ?? 0;
    if (this.current) this.show(this.current);
    this.changed();
  }

  place() {
    if (this.total === 0) return "no match";
    const at = this.found.indexOf(this.current) + 1;
    return `${at.toLocaleString("en")} of ${this.total.toLocaleString("en")}`;
  }

  /** @param {string} text @param {boolean} [isBad] */
  say(text, isBad = false) {
    this.count.textContent = text;
    this.count.classList.toggle("bad", isBad);
    this.query.setAttribute("aria-invalid", String(isBad));
  }
}

export class Errors {
  /** @param {(n: number) => void} show @param {() => number} top */
  constructor(show, top) {
    this.show = show;
    this.top = top;
    /** @type {number[]} */
    this.lines = [];
    /** @type {Set<number>} */
    this.set = new Set();
    this.current = 0;
    document.getElementById("log-error-next")?.addEventListener("click", () => this.step(1));
    document.getElementById("log-error-prev")?.addEventListener("click", () => this.step(-1));
  }

  /** @param {Marks} marks */
  take(marks) {
    this.lines = marks.errors;
    this.set = new Set(marks.errors);
    const bar = document.getElementById("log-errors");
    const count = document.getElementById("log-error-count");
    if (!bar || !count) return;
    bar.hidden = this.lines.length === 0;
    const more = marks.complete ? "" : "+";
    count.textContent = `${this.lines.length}${more} ${this.lines.length === 1 ? "error" : "errors"}`;
  }

  /** @param {1 | -1} by */
  step(by) {
    const from = this.current || this.top() - (by > 0 ? 1 : 0);
    const next = by > 0 ? this.lines.find((n) => n > from) : this.lines.findLast((n) => n < from);
    const n = next ?? (by > 0 ? this.lines[0] : this.lines.at(-1));
    if (n === undefined) return;
    this.current = n;
    this.show(n);
  }
}
