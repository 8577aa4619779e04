// The theme is in a cookie that the server reads, so no page ever flashes in the wrong one.
const YEAR = 31536000;
const NEXT = { auto: "light", light: "dark", dark: "auto" };
const SIGNS = { auto: "contrast", light: "sun", dark: "moon" };
const root = document.documentElement;
const button = document.getElementById("theme");

function change() {
  const theme = NEXT[root.dataset.theme] ?? "auto";
  root.dataset.theme = theme;
  document.cookie = `umbel-theme=${theme}; path=${document.body.dataset.prefix || "/"}; max-age=${YEAR}; samesite=strict`;
  const use = button.querySelector("use");
  use.setAttribute("href", use.getAttribute("href").replace(/#.*/, `#${SIGNS[theme]}`));
  button.title = `Theme: ${theme} (t)`;
  button.setAttribute("aria-label", `Theme: ${theme}`);
  document.dispatchEvent(new CustomEvent("umbel:theme"));
}

button.addEventListener("click", change);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => document.dispatchEvent(new CustomEvent("umbel:theme")));
