// @ts-check
// Everything that each page has: times, theme, keys, palette, live content, and questions before actions.
import { startKeys } from "./keys.js";
import { startLive } from "./live.js";
import { startPalette } from "./palette.js";
import { startTheme } from "./theme.js";
import { startTimes } from "./times.js";

startTimes();
startTheme();
startKeys();
startPalette();
startLive();

document.addEventListener("submit", (event) => {
  const form = /** @type {HTMLFormElement} */ (event.target);
  const question = form.dataset.confirm;
  if (question && !window.confirm(question)) {
    event.preventDefault();
    return;
  }
  // A second press must not post twice; the page that comes next has fresh buttons.
  const button = /** @type {HTMLButtonElement | null} */ (event.submitter);
  if (form.method === "post" && button) {
    setTimeout(() => { button.disabled = true; }, 0);
    setTimeout(() => { button.disabled = false; }, 4000);
  }
});

document.addEventListener("click", (event) => {
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    if (!menu.contains(/** @type {Node} */ (event.target))) menu.removeAttribute("open");
  }
});

// Filters apply at once where scripts run; without them there is a button.
document.addEventListener("change", (event) => {
  const field = /** @type {HTMLElement} */ (event.target);
  if (field instanceof HTMLSelectElement && field.form?.dataset.auto !== undefined) field.form.requestSubmit();
});
