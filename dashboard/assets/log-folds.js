// @ts-check
// Folded groups of a log: which lines are hidden, and which row a line is.

/** @typedef {{ line: number, end?: number, name: string }} Group */

export class Folds {
  constructor() {
    /** @type {Group[]} */
    this.groups = [];
    /** First lines of the folded groups. @type {Set<number>} */
    this.folded = new Set();
    /** Hidden lines, in order and apart: first, last, and how many are hidden before. @type {[number, number, number][]} */
    this.hidden = [];
  }

  /** @param {Group[]} groups */
  take(groups) {
    this.groups = groups.filter((group) => group.end !== undefined && group.end > group.line);
    this.update();
  }

  /** @param {number} n */
  at(n) {
    return this.groups.find((group) => group.line === n);
  }

  /** Folds a group, or opens it. @param {number} n */
  toggle(n) {
    if (!this.folded.delete(n)) this.folded.add(n);
    this.update();
  }

  /** @param {boolean} isFolded */
  all(isFolded) {
    this.folded = new Set(isFolded ? this.groups.map((group) => group.line) : []);
    this.update();
  }

  /** Opens the groups that hide a line. @param {number} n */
  reveal(n) {
    const before = this.folded.size;
    for (const group of this.groups) {
      if (group.line < n && n <= (group.end ?? 0)) this.folded.delete(group.line);
    }
    if (this.folded.size !== before) this.update();
  }

  update() {
    this.hidden = [];
    let last = 0;
    let count = 0;
    for (const group of this.groups) {
      if (!this.folded.has(group.line) || group.line <= last) continue;
      last = group.end ?? group.line;
      this.hidden.push([group.line + 1, last, count]);
      count += last - group.line;
    }
  }

  /** Visible ones of the first lines. @param {number} total */
  visible(total) {
    const [first, last, before] = this.hidden.at(-1) ?? [1, 0, 0];
    return total - before - Math.max(0, Math.min(last, total) - first + 1);
  }

  /** The row of a line, from 0; of a hidden line, that of its group. @param {number} n */
  row(n) {
    const found = this.last(([first]) => first <= n);
    if (!found) return n - 1;
    const [first, last, before] = found;
    return n <= last ? first - 2 - before : n - 1 - before - (last - first + 1);
  }

  /** The line of a row. @param {number} row */
  line(row) {
    const found = this.last(([first, , before]) => first - 1 - before <= row);
    return found ? row + 1 + found[2] + (found[1] - found[0] + 1) : row + 1;
  }

  /** @param {(entry: [number, number, number]) => boolean} holds */
  last(holds) {
    let [low, high] = [0, this.hidden.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (holds(this.hidden[middle])) low = middle + 1;
      else high = middle;
    }
    return this.hidden[low - 1];
  }
}
