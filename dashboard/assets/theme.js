// @ts-check
// Light and dark: the choice is a cookie, so that the server's next page has it before it is shown.

const YEAR = 31_536_000;

export function startTheme() {
  document.addEventListener("submit", (event) => {
    const form = /** @type {HTMLFormElement} */ (event.target);
    if (form.dataset.themeForm === undefined) return;
    event.preventDefault();
    const next = isDark() ? "light" : "dark";
    const secure = location.protocol === "https:" ? "; Secure" : "";
    document.cookie = `plue-theme=${next}; Path=/; Max-Age=${YEAR}; SameSite=Lax${secure}`;
    document.documentElement.dataset.theme = next;
  });
}

function isDark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}
