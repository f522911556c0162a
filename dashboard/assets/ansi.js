// @ts-check
// Terminal output as text with classes; the rules of `src/ansi.rs`, checked against the same cases.

/** @typedef {{ f: number | null, b: number | null, bold: boolean, dim: boolean, italic: boolean, underline: boolean, strike: boolean, inverse: boolean }} Style */
/** @typedef {[text: string, classes: string, link: string | null]} Span */

const MAX_LINK = 2000;
// One token: SGR, another CSI, a string up to BEL or ST, another sequence, a control, an inert character, text.
// eslint-disable-next-line no-control-regex
const TOKEN = /\x1b\[([0-9:;<=>?]*)m|\x1b\[[0-?]*[ -/]*[@-~]?|\x1b([\]PX^_])([^]*?)(?:\x07|\x1b\\|$)|\x1b[ -/]*[0-~]?|([\x00-\x08\x0a-\x1f\x7f-\x9f])|([\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069])|[^\x00-\x08\x0a-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]+/g;

/** @returns {Style} */
export function style() {
  return { f: null, b: null, bold: false, dim: false, italic: false, underline: false, strike: false, inverse: false };
}

/** Applies the parameters of an SGR sequence. @param {Style} style @param {string} parameters */
export function apply(style, parameters) {
  if (/[^0-9;:]/.test(parameters)) return;
  const numbers = parameters.split(/[;:]/).map((part) => Number(part || 0));
  for (let at = 0; at < numbers.length; at += 1) {
    const number = numbers[at];
    if (number === 38 || number === 48) {
      const [colour, used] = extended(numbers, at + 1);
      style[number === 38 ? "f" : "b"] = colour;
      at += used;
    } else {
      simple(style, number);
    }
  }
}

/** @param {Style} style @param {number} number */
function simple(style, number) {
  if (number === 0) Object.assign(style, { f: null, b: null, bold: false, dim: false, italic: false, underline: false, strike: false, inverse: false });
  else if (number === 1) style.bold = true;
  else if (number === 2) style.dim = true;
  else if (number === 3) style.italic = true;
  else if (number === 4) style.underline = true;
  else if (number === 7) style.inverse = true;
  else if (number === 9) style.strike = true;
  else if (number === 22) style.bold = style.dim = false;
  else if (number === 23) style.italic = false;
  else if (number === 24) style.underline = false;
  else if (number === 27) style.inverse = false;
  else if (number === 29) style.strike = false;
  else if (number >= 30 && number <= 37) style.f = number - 30;
  else if (number === 39) style.f = null;
  else if (number >= 40 && number <= 47) style.b = number - 40;
  else if (number === 49) style.b = null;
  else if (number >= 90 && number <= 97) style.f = number - 82;
  else if (number >= 100 && number <= 107) style.b = number - 92;
}

/** A colour of 256 or of red, green and blue, and how many numbers it took.
 * @param {number[]} numbers @param {number} at @returns {[number | null, number]} */
function extended(numbers, at) {
  if (numbers[at] === 5) {
    const number = numbers[at + 1];
    if (number === undefined) return [null, 1];
    if (number < 16) return [number, 2];
    if (number >= 232) return [number < 244 ? 8 : 7, 2];
    const cube = number - 16;
    return [nearest(Math.floor(cube / 36) * 51, (Math.floor(cube / 6) % 6) * 51, (cube % 6) * 51), 2];
  }
  if (numbers[at] === 2) {
    const [red, green, blue] = numbers.slice(at + 1, at + 4);
    return blue === undefined ? [null, numbers.length - at] : [nearest(red, green, blue), 4];
  }
  return [null, 1];
}

/** @param {number} red @param {number} green @param {number} blue */
function nearest(red, green, blue) {
  const most = Math.max(red, green, blue);
  const least = Math.min(red, green, blue);
  if (most - least < 48) return most < 128 ? 8 : 7;
  const middle = Math.floor((most + least) / 2);
  return Number(red > middle) + 2 * Number(green > middle) + 4 * Number(blue > middle);
}

/** @param {Style} style */
function classes(style) {
  const [front, back] = style.inverse ? [style.b, style.f] : [style.f, style.b];
  const all = [];
  if (front !== null) all.push(`f${front}`);
  else if (style.inverse) all.push("fi");
  if (back !== null) all.push(`b${back}`);
  else if (style.inverse) all.push("bi");
  if (style.bold) all.push("bo");
  if (style.dim) all.push("di");
  if (style.italic) all.push("it");
  if (style.underline) all.push("un");
  if (style.strike) all.push("st");
  return all.join(" ");
}

/** The spans of a line; the style at its end stays in `style`. @param {Style} style @param {string} line @returns {Span[]} */
export function spans(style, line) {
  /** @type {Span[]} */
  let found = [];
  /** @type {string | null} */
  let link = null;
  const push = (/** @type {string} */ text, /** @type {string} */ named, /** @type {string | null} */ address) => {
    const last = found.at(-1);
    if (last && last[1] === named && last[2] === address) last[0] += text;
    else found.push([text, named, address]);
  };
  for (const token of line.replace(/[\r\n]+$/, "").matchAll(TOKEN)) {
    const [text, sgr, kind, body, control, inert] = token;
    if (sgr !== undefined) apply(style, sgr);
    else if (kind !== undefined) link = kind === "]" ? address(body, link) : link;
    else if (control !== undefined) { if (control === "\r") found = []; }
    else if (inert !== undefined) push(`\\u{${(inert.codePointAt(0) ?? 0).toString(16)}}`, "ctl", null);
    else if (text[0] !== "\x1b") push(text, classes(style), link);
  }
  return found;
}

/** @param {string} body @param {string | null} link */
function address(body, link) {
  const parts = /^8;[^;]*;([^]*)$/.exec(body);
  if (!parts) return link;
  const text = parts[1];
  const isWeb = /^https?:\/\//.test(text) && !/[\s\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/.test(text);
  return isWeb && text.length <= MAX_LINK ? text : null;
}

/** The host that an address really names. @param {string} text */
export function host(text) {
  return (text.split("://")[1] ?? text).split(/[/?#\\]/)[0].split("@").at(-1) ?? "";
}

/** Appends a line to an element, as text. @param {Element} to @param {Style} style @param {string} line */
export function render(to, style, line) {
  for (const [text, named, link] of spans(style, line)) {
    if (!named && !link) {
      to.append(text);
      continue;
    }
    const part = document.createElement(link ? "a" : "span");
    if (named) part.className = named;
    part.textContent = text;
    to.append(part);
    if (!link) continue;
    part.setAttribute("href", link);
    part.setAttribute("rel", "noopener noreferrer nofollow");
    const real = document.createElement("span");
    real.className = "host";
    real.textContent = ` [${host(link)}]`;
    to.append(real);
  }
}
