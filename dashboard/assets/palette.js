// @ts-check
// Ctrl-K: go to a run, a workflow, a repository or a page by typing a part of its name.
import { parse } from "./morph.js";

const WAIT = 120;

export function startPalette() {
  const buttons = /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll("[data-palette]"));
  for (const button of buttons) {
    button.addEventListener("click", (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      open();
    });
  }
  if (buttons.length === 0) return;
  document.addEventListener("keydown", (event) => {
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") {
      event.preventDefault();
      open();
    }
  });
}

function open() {
  if (document.querySelector("dialog.palette")) return;
  const dialog = document.createElement("dialog");
  dialog.className = "palette";
  dialog.setAttribute("aria-label", "Go to");
  const field = document.createElement("input");
  field.type = "text";
  field.placeholder = "Run, workflow, repository or page";
  field.maxLength = 100;
  field.setAttribute("role", "combobox");
  field.setAttribute("aria-expanded", "true");
  field.setAttribute("aria-controls", "palette-list");
  field.setAttribute("aria-label", "Go to");
  const list = document.createElement("ul");
  list.id = "palette-list";
  list.setAttribute("role", "listbox");
  list.setAttribute("aria-label", "Results");
  dialog.append(field, list);
  dialog.addEventListener("close", () => dialog.remove());
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  document.body.append(dialog);
  dialog.showModal();
  drive(field, list);
}

/** @param {HTMLInputElement} field @param {HTMLUListElement} list */
function drive(field, list) {
  /** @type {AbortController | undefined} */
  let asked;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  let at = 0;
  const items = () => /** @type {HTMLElement[]} */ ([...list.querySelectorAll("li")]);
  const mark = () => items().forEach((item, place) => {
    item.id = `palette-${place}`;
    item.setAttribute("role", "option");
    item.setAttribute("aria-selected", String(place === at));
    if (place === at) {
      field.setAttribute("aria-activedescendant", item.id);
      item.scrollIntoView({ block: "nearest" });
    }
  });
  const ask = async () => {
    asked?.abort();
    asked = new AbortController();
    try {
      const answer = await fetch(`/palette?q=${encodeURIComponent(field.value)}`, { signal: asked.signal, headers: { "x-plue-fragment": "1" } });
      if (!answer.ok) throw new Error(`status ${answer.status}`);
      const found = parse(await answer.text()).querySelectorAll(".palette li");
      list.replaceChildren(...[...found].map((item) => document.importNode(item, true)));
    } catch (error) {
      if (/** @type {Error} */ (error).name === "AbortError") return;
      const item = document.createElement("li");
      item.textContent = "The server does not answer.";
      list.replaceChildren(item);
    }
    at = 0;
    mark();
  };
  field.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(ask, WAIT);
  });
  field.addEventListener("keydown", (event) => {
    const count = items().length;
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      at = count ? (at + (event.key === "ArrowDown" ? 1 : count - 1)) % count : 0;
      mark();
    } else if (event.key === "Enter") {
      event.preventDefault();
      items()[at]?.querySelector("a")?.click();
    }
  });
  void ask();
}
