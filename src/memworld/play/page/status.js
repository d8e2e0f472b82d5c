/** What the page says: a quiet line for news, and an alert for what went wrong. */
import { byId, el, setText } from "./dom.js";

/** @type {number | undefined} */
let waiting;

/**
 * Put news into the status line. Of news in quick succession only the last is said, so that nobody is talked over.
 * @param {string} text
 */
export function say(text) {
  clearTimeout(waiting);
  if (!text) return setText(byId("status"), "");
  waiting = window.setTimeout(() => setText(byId("status"), text), 150);
}

/**
 * Show what went wrong, until it is dismissed or put right.
 * @param {unknown} error
 * @param {{label: string, act: () => void}} [remedy]
 */
export function fail(error, remedy) {
  const text = error instanceof Error ? error.message : String(error);
  const alert = byId("alert");
  alert.replaceChildren(el("p", {}, text));
  if (remedy) {
    const act = () => (settle(), remedy.act());
    alert.append(el("button", { type: "button", class: "button", onclick: act }, remedy.label));
  }
  alert.append(el("button", { type: "button", class: "button", onclick: settle }, "Dismiss"));
  alert.hidden = false;
}

/** Take the alert away. */
export function settle() {
  byId("alert").hidden = true;
  byId("alert").replaceChildren();
}

/**
 * Wrap a listener so that whatever fails in it is shown.
 * @template {any[]} T
 * @param {(...given: T) => unknown} act
 * @returns {(...given: T) => Promise<void>}
 */
export function shown(act) {
  return async (...given) => {
    try {
      await act(...given);
    } catch (error) {
      if (!(error instanceof DOMException && error.name === "AbortError")) fail(error);
    }
  };
}
