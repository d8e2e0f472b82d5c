/** Light, dark, or as the system has it; kept in the browser. */

import { byId } from "./dom.js";
import { keep } from "./store.js";

const ORDER = ["system", "light", "dark"];
/** @type {Record<string, string>} */
const SIGN = { system: "◐", light: "☀\uFE0E", dark: "☾\uFE0E" };

/** @param {() => void} changed what is drawn on canvases must be drawn anew */
export function themeToggle(changed) {
  const button = byId("theme");
  const root = document.documentElement;
  const show = () => {
    const theme = root.dataset.theme ?? "system";
    button.textContent = SIGN[theme];
    button.setAttribute("aria-label", `Theme: ${theme === "system" ? "as the system" : theme}`);
    button.title = button.getAttribute("aria-label");
  };
  button.addEventListener("click", () => {
    const next = ORDER[(ORDER.indexOf(root.dataset.theme ?? "system") + 1) % ORDER.length];
    if (next === "system") delete root.dataset.theme;
    else root.dataset.theme = next;
    keep("theme", next === "system" ? null : next);
    show();
    changed();
  });
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", changed);
  show();
}
