// @ts-check
// Keys of all pages. A module adds its own with `key`; `?` shows them; single keys can be turned off.

const OFF = "plue-keys-off";

/** @typedef {{ keys: string, does: string, run: (event: KeyboardEvent) => void }} Key */

/** @type {Key[]} */
const all = [];
/** First key of a pair such as `g r`. */
let first = "";
/** @type {ReturnType<typeof setTimeout> | undefined} */
let timer;

/** Adds a key (`?`, `j`) or a pair of keys (`g r`). @param {string} keys @param {string} does @param {(event: KeyboardEvent) => void} run */
export function key(keys, does, run) {
  all.push({ keys, does, run });
}

export function startKeys() {
  key("?", "Show the keys", showKeys);
  key("g r", "Go to runs", () => location.assign("/runs"));
  key("g a", "Go to approvals", () => location.assign("/approvals"));
  key("j", "Next row", () => move(1));
  key("k", "Previous row", () => move(-1));
  key("/", "To the filter", (event) => {
    const field = /** @type {HTMLElement | null} */ (document.querySelector("[data-filter]"));
    if (!field) return;
    event.preventDefault();
    field.focus();
  });
  document.addEventListener("keydown", pressed);
}

/** @param {KeyboardEvent} event */
function pressed(event) {
  const target = /** @type {HTMLElement} */ (event.target);
  const typing = target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName);
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
  if (typing || document.querySelector("dialog[open]")) return;
  if (event.key !== "?" && localStorage.getItem(OFF)) return;
  const pair = first ? `${first} ${event.key}` : event.key;
  const found = all.find((one) => one.keys === pair) ?? all.find((one) => one.keys === event.key);
  clearTimeout(timer);
  first = "";
  if (found) {
    found.run(event);
  } else if (all.some((one) => one.keys.startsWith(`${event.key} `))) {
    first = event.key;
    timer = setTimeout(() => { first = ""; }, 1000);
  }
}

/** Moves the focus among the rows of the page. @param {number} by */
function move(by) {
  const rows = /** @type {HTMLElement[]} */ ([...document.querySelectorAll("[data-row]")]);
  const at = rows.indexOf(/** @type {HTMLElement} */ (document.activeElement));
  const next = rows[at < 0 ? (by > 0 ? 0 : rows.length - 1) : at + by];
  next?.focus();
  next?.scrollIntoView({ block: "nearest" });
}

function showKeys() {
  const dialog = document.createElement("dialog");
  dialog.className = "keys";
  dialog.setAttribute("aria-label", "Keys");
  const title = document.createElement("h2");
  title.textContent = "Keys";
  const list = document.createElement("dl");
  for (const { keys, does } of [...all, { keys: "Ctrl K", does: "Go to a run, a workflow or a repository" }]) {
    const term = document.createElement("dt");
    for (const part of keys.split(" ")) {
      const cap = document.createElement("kbd");
      cap.textContent = part;
      term.append(cap, " ");
    }
    const text = document.createElement("dd");
    text.textContent = does;
    list.append(term, text);
  }
  const label = document.createElement("label");
  label.className = "row";
  const box = document.createElement("input");
  box.type = "checkbox";
  box.checked = !localStorage.getItem(OFF);
  box.addEventListener("change", () => {
    if (box.checked) localStorage.removeItem(OFF);
    else localStorage.setItem(OFF, "1");
  });
  label.append(box, "Single keys are on");
  const close = document.createElement("button");
  close.textContent = "Close";
  close.addEventListener("click", () => dialog.close());
  dialog.append(title, list, label, document.createElement("br"), close);
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}
