/** The table of keys: lit while held, held by finger or mouse, and changed by a click and a press. */

import { byId, el, setText } from "./dom.js";
import { chordOf } from "./keys.js";
import { say } from "./status.js";
import { keySign, keyWords } from "./words.js";

/** @typedef {import("./keys.js").Entry} Entry */

export class KeyTable {
  /** @type {import("./keys.js").Bindings | null} */
  #bindings = null;
  /** @type {Map<string, HTMLElement>} */
  #rows = new Map();
  /** @type {{entry: Entry, pressed: Set<string>, most: string[]} | null} */
  #learning = null;

  /**
   * @param {import("./keys.js").Held} held
   * @param {(entry: Entry, time: number) => void} pressed an entry was pressed on the page
   * @param {() => boolean} playing
   */
  constructor(held, pressed, playing) {
    this.held = held;
    this.pressed = pressed;
    this.playing = playing;
    byId("keys-reset").addEventListener("click", () => {
      this.#bindings?.reset();
      this.#draw();
      say("The keys are those that came with the world.");
    });
  }

  /** Whether it waits for new keys: then nothing else may hear them. */
  get learning() {
    return this.#learning != null;
  }

  /** @param {import("./keys.js").Bindings} bindings */
  show(bindings) {
    this.#bindings = bindings;
    this.#learning = null;
    this.#draw();
  }

  /** Light what is held. */
  light() {
    if (!this.#bindings) return;
    const active = new Set(this.held.inForce(this.#bindings).map(({ entry }) => entry.id));
    for (const [id, row] of this.#rows) {
      row.classList.toggle("lit", active.has(id));
      for (const key of row.querySelectorAll("kbd")) key.classList.toggle("lit", this.held.has(key.dataset.code ?? ""));
    }
  }

  /** Draw it anew, as when the names of keys have been learnt. */
  redraw() {
    if (!this.#learning) this.#draw();
  }

  #draw() {
    const bindings = this.#bindings;
    if (!bindings) return;
    this.#rows.clear();
    const rows = bindings.entries.map((entry) => ({ entry, row: this.#row(entry) }));
    const of = (/** @type {boolean} */ command) => rows.filter(({ entry }) => Boolean(entry.command) === command);
    byId("keys-actions").replaceChildren(...of(false).map(({ row }) => row));
    byId("keys-commands").replaceChildren(...of(true).map(({ row }) => row));
    byId("keys-reset").disabled = !bindings.changed;
    this.light();
  }

  /** @param {Entry} entry */
  #row(entry) {
    const chords = this.#bindings?.chords(entry) ?? [];
    // Of long chords the first says enough; the others are read out, and told on hovering.
    const short = chords[0]?.includes("+") ? chords.slice(0, 1) : chords.slice(0, 3);
    const signs = short.map((chord) =>
      el(
        "span",
        { class: "chord" },
        ...chord.split("+").map((code) => el("kbd", { "data-code": code }, keySign(code))),
      ),
    );
    const hold = el("button", { type: "button", class: "hold", title: entry.label }, entry.label);
    const codes = el(
      "button",
      {
        type: "button",
        class: "codes",
        "aria-label": `Keys of ${entry.label}: ${keyWords(chords)}. Change.`,
        title: `${keyWords(chords)}: click to change`,
      },
      ...(signs.length ? signs : [el("span", { class: "note" }, "no key")]),
    );
    this.#holdable(hold, entry);
    codes.addEventListener("click", () => this.#learn(entry, codes));
    const row = el("li", { class: "key", "data-entry": entry.id }, hold, codes);
    this.#rows.set(entry.id, row);
    return row;
  }

  /** @param {HTMLElement} button @param {Entry} entry */
  #holdable(button, entry) {
    const code = `entry:${entry.id}`;
    const down = (/** @type {number} */ time) => {
      if (!entry.command) this.held.press(code, time);
      this.pressed(entry, time);
      this.light();
    };
    const up = () => {
      this.held.release(code, this.playing());
      this.light();
    };
    button.addEventListener("pointerdown", (event) => {
      button.setPointerCapture(event.pointerId);
      down(event.timeStamp);
    });
    for (const end of ["pointerup", "pointercancel", "lostpointercapture"]) button.addEventListener(end, up);
    button.addEventListener("contextmenu", (event) => event.preventDefault());
    button.addEventListener("click", (event) => {
      if (event.detail !== 0) return;
      down(event.timeStamp);
      up();
    });
  }

  /** Wait for the keys of an entry. @param {Entry} entry @param {HTMLElement} button */
  #learn(entry, button) {
    if (this.#learning) this.#draw();
    this.#learning = { entry, pressed: new Set(), most: [] };
    button = this.#rows.get(entry.id)?.querySelector(".codes") ?? button;
    button.classList.add("learning");
    button.focus();
    setText(button, "press keys…");
    say(`Press the key for ${entry.label}, or several together. Escape leaves it, Backspace takes its keys away.`);
  }

  /**
   * A key went down while it learns.
   * @param {string} code
   */
  down(code) {
    const learning = this.#learning;
    if (!learning) return;
    if (code === "Escape") return this.#learnt(null);
    if (code === "Backspace" || code === "Delete") return this.#learnt([]);
    learning.pressed.add(code);
    if (learning.pressed.size >= learning.most.length) learning.most = [...learning.pressed];
  }

  /** A key went up: what was held together is the chord. @param {string} code */
  up(code) {
    const learning = this.#learning;
    if (learning?.pressed.has(code)) this.#learnt([chordOf(learning.most)]);
  }

  /** Leave it as it is, as when the focus goes elsewhere. */
  cancel() {
    if (this.#learning) this.#learnt(null);
  }

  /** @param {string[] | null} chords */
  #learnt(chords) {
    const learning = this.#learning;
    this.#learning = null;
    if (!learning || !this.#bindings) return;
    const { entry } = learning;
    if (chords) {
      const losers = this.#bindings.bind(entry, chords);
      const lost = losers.length ? ` ${losers.map((loser) => loser.label).join(" and ")} had that key before.` : "";
      say(`${entry.label}: ${keyWords(chords)}.${lost}`);
    } else say("The keys stay as they were.");
    this.#draw();
    /** @type {HTMLElement | null | undefined} */ (this.#rows.get(entry.id)?.querySelector(".codes"))?.focus();
  }
}
