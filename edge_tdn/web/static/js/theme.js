// The theme: that of the system, dark or light; kept in this browser.
import { el } from "./dom.js";

const KEY = "edge-tdn-theme";
const CHOICES = [
  ["system", "System"],
  ["light", "Light"],
  ["dark", "Dark"],
];

/** Return the choice of a theme, a group of three radio buttons. */
export function themeSwitch() {
  const chosen = document.documentElement.dataset.theme ?? "system";
  return el(
    "fieldset",
    { class: "choice" },
    el("legend", {}, "Theme"),
    ...CHOICES.map(([value, text]) =>
      el(
        "label",
        {},
        el("input", {
          type: "radio",
          name: "theme",
          value,
          checked: value === chosen,
          onchange: () => setTheme(value),
        }),
        el("span", {}, text),
      ),
    ),
  );
}

function setTheme(theme) {
  if (theme === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  try {
    if (theme === "system") localStorage.removeItem(KEY);
    else localStorage.setItem(KEY, theme);
  } catch {
    // Storage is blocked: the theme lasts as long as the page is open.
  }
  document.dispatchEvent(new Event("themechange")); // drawings read their colours again
}
