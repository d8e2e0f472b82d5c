/** What the page says: a quiet line for news, and an alert for what went wrong. */
import { byId, el, setText } from "./dom.js";

/** @type {number | undefined} */
let waiting;
let last = "";
/** @type {HTMLElement | null} who had the focus before the alert came */
let before = null;

/**
 * Put news into the status line. Of news in quick succession only the last is said, so that nobody is talked over.
 * @param {string} text
 */
export function say(text) {
  clearTimeout(waiting);
  last = text;
  if (!text) return setText(byId("status"), "");
  waiting = window.setTimeout(() => setText(byId("status"), text), 150);
}

/** Take news back that no longer hold, unless others have come since. @param {string} text */
export function unsay(text) {
  if (text && text === last) say("");
}

/**
 * Show what went wrong, until it is dismissed or put right. What was under way is over.
 * @param {unknown} error
 * @param {{label: string, act: () => void}} [remedy]
 * @param {boolean} [stays] whether there is nothing else to see, so that it cannot be dismissed
 */
export function fail(error, remedy, stays = false) {
  const text = error instanceof Error ? error.message : String(error);
  const alert = byId("alert");
  const focused = /** @type {HTMLElement | null} */ (document.activeElement);
  if (!alert.contains(focused)) before = focused;
  say("");
  alert.replaceChildren(el("p", {}, text));
  if (remedy) {
    const act = () => (settle(), remedy.act());
    alert.append(el("button", { type: "button", class: "button", onclick: act }, remedy.label));
  }
  if (!stays) alert.append(el("button", { type: "button", class: "button", onclick: settle }, "Dismiss"));
  alert.hidden = false;
}

/** Take the alert away, and give the focus back to who had it. */
export function settle() {
  const alert = byId("alert");
  const focused = alert.contains(document.activeElement);
  alert.hidden = true;
  alert.replaceChildren();
  if (!focused) return;
  before?.focus({ preventScroll: true });
  if (!before || before === document.body || document.activeElement !== before)
    byId("main").focus({ preventScroll: true });
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
