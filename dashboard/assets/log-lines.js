// @ts-check
// The lines of a log: fetched by range in clusters, the newest ones from the stream. Offsets in bytes
// decide what of a piece is new, so that a reconnection leaves no gap and shows nothing twice.
import { apply, spans, style } from "./ansi.js";

/** Lines fetched together; clusters kept. */
const CLUSTER = 128;
const KEPT = 48;
/** Lines of the stream that are kept. */
const TAIL = 4000;
/** Lines that a restart reads at most, as many as a page holds as a whole; above, windows fetch them. */
const GAP = 5000;
/** Characters of a line of the stream; the server cuts there as well. */
const LINE = 16 * 1024;

/** @typedef {{ n: number, byte: number, length: number, at: string, err: boolean, spans: import("./ansi.js").Span[] }} Row */
/** @typedef {{ seq: number, at: string, stream: string, first_byte: number, first_line: number, text?: string, hex?: string }} Piece */

export class Lines {
  /** @param {string} api @param {number} total @param {number} bytes */
  constructor(api, total, bytes) {
    this.api = api;
    this.total = total;
    this.bytes = bytes;
    /** @type {Map<number, Row[]>} */
    this.clusters = new Map();
    /** @type {Map<number, Promise<void>>} */
    this.pending = new Map();
    /** Lines of the stream, in order, without holes. @type {Row[]} */
    this.tail = [];
    /** The last line, if it has not ended. @type {{ row: Row, text: string, start: import("./ansi.js").Style } | null} */
    this.open = null;
    this.style = style();
    this.started = false;
    this.decoder = new TextDecoder();
    /** Called when the length changed. @type {(from: number) => void} */
    this.grown = () => {};
  }

  /** @param {number} n @returns {Row | undefined} */
  get(n) {
    const first = this.tail[0];
    if (first && n >= first.n) return this.tail[n - first.n];
    return this.clusters.get(Math.floor((n - 1) / CLUSTER))?.[(n - 1) % CLUSTER];
  }

  /** Fetches the lines of a range that are not here. @param {number} from @param {number} to */
  async want(from, to) {
    const all = [];
    const last = Math.min(to, this.total);
    for (let at = Math.floor((Math.max(from, 1) - 1) / CLUSTER); at * CLUSTER < last; at += 1) {
      const start = at * CLUSTER + 1;
      if (this.tail[0] && start >= this.tail[0].n) break;
      const here = this.clusters.get(at);
      if (here && (here.length === CLUSTER || start + here.length > this.total)) {
        // The newest use is the last to go.
        this.clusters.delete(at);
        this.clusters.set(at, here);
        continue;
      }
      all.push(this.pending.get(at) ?? this.fetch(at));
    }
    await Promise.all(all);
  }

  /** @param {number} at */
  fetch(at) {
    const load = async () => {
      /** @type {Row[]} */
      const rows = [];
      const end = (at + 1) * CLUSTER;
      let more = true;
      while (more) {
        const answer = await this.ask(at * CLUSTER + 1 + rows.length, end);
        rows.push(...answer.rows);
        more = answer.rows.length > 0 && rows.length < CLUSTER && at * CLUSTER + rows.length < answer.log.lines;
      }
      this.clusters.set(at, rows);
      for (const key of this.clusters.keys()) {
        if (this.clusters.size <= KEPT) break;
        this.clusters.delete(key);
      }
    };
    const done = load().finally(() => this.pending.delete(at));
    this.pending.set(at, done);
    return done;
  }

  /** @param {number} from @param {number} to */
  async ask(from, to) {
    const answer = await fetch(`${this.api}/lines?from_line=${from}&to_line=${to}`);
    if (!answer.ok) throw new Error(`the log cannot be read: ${answer.status}`);
    const found = await answer.json();
    const now = style();
    if (found.style) apply(now, found.style);
    let start = now;
    /** @type {Row[]} */
    const rows = found.lines.map((/** @type {any} */ line) => {
      start = { ...now };
      return {
        n: line.line, byte: line.byte, length: line.length, at: line.at.slice(11, 23),
        err: line.stream === "stderr", spans: spans(now, line.text),
      };
    });
    return { rows, log: found.log, last: { text: found.lines.at(-1)?.text ?? "", start, style: now } };
  }

  /** Takes pieces of the stream; they follow each other. @param {Piece[]} pieces */
  async add(pieces) {
    // Rows of the last batch are drawn by now.
    if (this.tail.length > TAIL) this.tail.splice(0, this.tail.length - TAIL / 2);
    const from = this.total;
    for (const piece of pieces) {
      if (piece.stream !== "stdout" && piece.stream !== "stderr") continue;
      const bytes = bytesOf(piece);
      const end = piece.first_byte + bytes.length;
      if (!this.started || piece.first_byte > this.bytes) await this.restart();
      if (end <= this.bytes || piece.first_byte > this.bytes) continue;
      const fresh = bytes.subarray(this.bytes - piece.first_byte);
      this.push(this.decoder.decode(fresh, { stream: true }), piece);
      this.bytes = end;
    }
    this.grown(Math.max(1, from));
  }

  /** Reads the last lines as they are stored, from the last one of the page; the stream continues behind them. */
  async restart() {
    const known = await (await fetch(this.api)).json();
    // A page that holds all rows has to have those that were printed since it was made, too.
    const missing = known.lines - this.total;
    let next = Math.max(1, missing <= GAP ? Math.min(this.total, known.lines) : known.lines);
    /** @type {Row[]} */
    const rows = [];
    let found = await this.ask(next, known.lines + 1000);
    rows.push(...found.rows);
    while (found.rows.length > 0 && rows[rows.length - 1].n < known.lines) {
      next = rows[rows.length - 1].n + 1;
      found = await this.ask(next, known.lines + 1000);
      rows.push(...found.rows);
    }
    const { log, last } = found;
    const row = rows.at(-1);
    this.started = true;
    this.decoder = new TextDecoder();
    this.tail = rows;
    this.clusters.delete(Math.floor(Math.max(0, known.lines - 1) / CLUSTER));
    this.total = row ? row.n : log.lines;
    const end = row ? row.byte + row.length : 0;
    const isOpen = row !== undefined && log.lines === row.n && log.bytes === end;
    this.bytes = row && !isOpen ? end + 1 : end;
    this.style = last.style;
    this.open = row && isOpen ? { row, text: last.text, start: last.start } : null;
  }

  /** @param {string} text @param {Piece} piece */
  push(text, piece) {
    const encoder = new TextEncoder();
    let byte = this.bytes;
    const parts = text.split("\n");
    parts.forEach((part, at) => {
      const isLast = at === parts.length - 1;
      if (!this.open && !(isLast && part === "")) this.begin(byte, piece);
      const size = encoder.encode(part).length;
      if (this.open && part !== "") this.extend(this.open, part, size);
      byte += size + 1;
      if (!isLast) this.open = null;
    });
  }

  /** @param {number} byte @param {Piece} piece */
  begin(byte, piece) {
    this.total += 1;
    /** @type {Row} */
    const row = { n: this.total, byte, length: 0, at: piece.at.slice(11, 23), err: piece.stream === "stderr", spans: [] };
    this.tail.push(row);
    this.open = { row, text: "", start: { ...this.style } };
  }

  /** @param {NonNullable<Lines["open"]>} open @param {string} part @param {number} size */
  extend(open, part, size) {
    if (open.text.length < LINE) open.text += part.slice(0, LINE - open.text.length);
    this.style = { ...open.start };
    open.row.spans = spans(this.style, open.text);
    open.row.length += size;
  }

  /** The raw text of lines. @param {number} from @param {number} to */
  async raw(from, to) {
    const answer = await fetch(`${this.api}/raw?from_line=${from}&to_line=${to}`);
    return answer.text();
  }

  /** Bytes of a long line. @param {number} from @param {number} to */
  async part(from, to) {
    const answer = await fetch(`${this.api}/raw?from=${from}&to=${to}`);
    return answer.text();
  }
}

/** @param {Piece} piece */
function bytesOf(piece) {
  if (piece.text !== undefined) return new TextEncoder().encode(piece.text);
  const hex = piece.hex ?? "";
  const bytes = new Uint8Array(hex.length / 2);
  for (let at = 0; at < bytes.length; at += 1) bytes[at] = parseInt(hex.slice(2 * at, 2 * at + 2), 16);
  return bytes;
}
