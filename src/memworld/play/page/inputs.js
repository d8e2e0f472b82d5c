/** Keyboard, gamepads and focus: who hears a key. */

import { byId } from "./dom.js";
import { watchPads } from "./pad.js";

/** Keys here are text or choices, not play. @param {EventTarget | null} target */
function writesIn(target) {
  if (!(target instanceof HTMLElement)) return false;
  if (target.closest("dialog[open], table, [role=tab], [role=application]")) return true;
  return target.matches("select, textarea, input:not([type=checkbox])");
}

/** Space and Enter press a button, and only that. @param {KeyboardEvent} event */
function pressesButton(event) {
  const button = event.target instanceof HTMLElement && event.target.matches("button, a, input, label");
  return button && (event.code === "Space" || event.code === "Enter" || event.code === "NumpadEnter");
}

/** @param {import("./play.js").PlayView} view */
export function inputs(view) {
  const { held, table } = view;
  const here = () => !byId("view-play").hidden && !byId("moment").open;

  const down = (/** @type {string} */ code, /** @type {number} */ time, /** @type {number} */ strength = 1) => {
    if (table.learning) return table.down(code);
    const command = view.bindings.command(code);
    if (command) view.command(command);
    else if (view.bindings.acts(code)) {
      held.press(code, time, strength);
      view.begin(time);
      table.light();
    }
  };
  const up = (/** @type {string} */ code) => {
    if (table.learning) return table.up(code);
    held.release(code, view.player.playing);
    table.light();
  };

  window.addEventListener("keydown", (event) => {
    if (!here()) return;
    if (table.learning) {
      event.preventDefault();
      if (!event.repeat) down(event.code, event.timeStamp);
      return;
    }
    if (event.ctrlKey && event.code !== "ControlLeft" && event.code !== "ControlRight") return;
    if (event.metaKey || (event.altKey && !event.code.startsWith("Alt"))) return;
    if (writesIn(event.target) || pressesButton(event)) return;
    const mine = view.bindings.acts(event.code) || view.bindings.command(event.code);
    if (!mine) return;
    event.preventDefault(); // arrows and Space do not scroll while one plays
    if (!event.repeat) down(event.code, event.timeStamp);
  });
  window.addEventListener("keyup", (event) => up(event.code));
  watchPads(
    (code, strength) => here() && down(code, performance.now(), strength),
    up,
    (code) => table.learning || view.bindings.acts(code),
  );

  const letGo = () => {
    held.clear();
    table.cancel();
    table.light();
  };
  window.addEventListener("blur", letGo);
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) return;
    letGo();
    view.player.pause();
  });
  keepFocusOnStage(view);
}

/** What was clicked with the mouse gives the focus back to the stage, so that the next key plays. @param {import("./play.js").PlayView} view */
function keepFocusOnStage(view) {
  const stage = byId("stage");
  let byPointer = false;
  window.addEventListener("pointerdown", () => (byPointer = true), true);
  window.addEventListener("keydown", () => (byPointer = false), true);
  const back = (/** @type {Event} */ event) => {
    const target = /** @type {HTMLElement} */ (event.target);
    if (!byPointer || view.table.learning || byId("moment").open || byId("view-play").hidden) return;
    if (target.closest(".transport, .beneath, .frames, .beside .segments")) stage.focus({ preventScroll: true });
  };
  for (const kind of ["click", "change"])
    byId("view-play").addEventListener(kind, (/** @type {Event} */ event) => {
      // The click that opens a list of choices, or sets the caret, is not the end of it.
      if (kind === "click" && /** @type {HTMLElement} */ (event.target).closest("select, input, label, .codes")) return;
      back(event);
    });
}
