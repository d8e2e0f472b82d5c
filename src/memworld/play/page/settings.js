/** How each dream dreams: every setting of its strategy, changed while it runs. */

import { byId, el } from "./dom.js";
import { choiceName, settingHelp } from "./explain.js";
import { fail } from "./status.js";
import { settingName } from "./words.js";

/** @typedef {import("./types.js").Settings} Settings */

const ORDER = ["strategy", "decoding", "mode", "context", "rule", "k", "conditioning"];

export class SettingsForms {
  /** @type {import("./types.js").Choices} of the memory that is played in */
  choices = { choices: {}, defaults: {}, usual: "" };
  #shown = "";

  /** @param {(dream: number, changed: Record<string, unknown>) => void} change */
  constructor(change) {
    this.change = change;
    this.root = byId("settings");
  }

  get strategies() {
    return Object.keys(this.choices.choices);
  }

  /**
   * Settings without what their strategy would not heed.
   * @param {Settings} settings
   * @returns {Settings}
   */
  fitting(settings) {
    const known = Object.hasOwn(this.choices.choices, settings.strategy);
    const strategy = known ? settings.strategy : this.choices.usual;
    const heeds = this.choices.choices[strategy];
    const kept = Object.entries(settings).filter(([name, value]) => allows(heeds[name], value));
    return { strategy, ...Object.fromEntries(kept) };
  }

  /**
   * @param {Settings[]} dreams one form for each
   * @param {boolean} [anew] even if they hold what they should: a person may have touched them
   */
  show(dreams, anew = false) {
    const holds = JSON.stringify([dreams, this.choices]);
    if (holds === this.#shown && !anew) return;
    this.#shown = holds;
    const focused = this.root.contains(document.activeElement) ? document.activeElement?.id : null;
    this.root.replaceChildren(...dreams.map((settings, i) => this.#form(settings, i, dreams.length)));
    if (focused) byId(focused).focus();
  }

  /** @param {Settings} settings @param {number} dream @param {number} count */
  #form(settings, dream, count) {
    const heeded = this.choices.choices[settings.strategy] ?? {};
    const fields = ORDER.filter((name) => name === "strategy" || heeded[name]).map((name) =>
      this.#field(name, settings, dream),
    );
    const legend = el("legend", {}, count > 1 ? `Dream ${dream + 1}` : "The dream");
    return el("fieldset", { class: "settings" }, legend, ...fields);
  }

  /** @param {string} name @param {Settings} settings @param {number} dream */
  #field(name, settings, dream) {
    const choice = name === "strategy" ? this.strategies : this.choices.choices[settings.strategy]?.[name];
    const value = settings[name] ?? this.choices.defaults[settings.strategy]?.[name];
    const id = `setting-${dream}-${name}`;
    const control = name === "k" ? number(id, choice, value) : select(id, choice, value, name, settings.strategy);
    const title = settingHelp(name, settings.strategy, value); // also what screen readers describe it by
    control.title = title;
    control.addEventListener("change", () => {
      if (!control.checkValidity() || control.value === "") {
        fail(`${settingName(name)} is a whole number from ${control.min} to ${control.max}.`);
        control.value = value;
        return;
      }
      const given = name === "k" || name === "context" ? Number(control.value) : control.value;
      this.change(dream, { [name]: given });
    });
    return el("div", { class: `field ${name}` }, el("label", { for: id, title }, settingName(name)), control);
  }
}

/** @typedef {import("./types.js").Choice | undefined} Choice undefined where a strategy does not heed the setting */

/** @param {Choice} choice @param {unknown} value */
function allows(choice, value) {
  if (!choice) return false;
  if (Array.isArray(choice)) return choice.includes(/** @type {any} */ (value));
  return Number.isInteger(value) && Number(value) >= choice.low && Number(value) <= choice.high;
}

/** @param {string} id @param {Choice} choice @param {unknown} value */
function number(id, choice, value) {
  const { low, high } = choice && !Array.isArray(choice) ? choice : { low: 1, high: 1 };
  return el("input", { id, type: "number", min: low, max: high, step: 1, value: choice ? value : "" });
}

/**
 * @param {string} id
 * @param {Choice} choice
 * @param {unknown} value
 * @param {string} name
 * @param {string} strategy
 */
function select(id, choice, value, name, strategy) {
  const options = Array.isArray(choice) ? choice : [];
  const shown = options.map((one) => {
    const title = settingHelp(name, name === "strategy" ? String(one) : strategy, one);
    return el("option", { value: one, selected: one === value, title }, choiceName(one, name, strategy));
  });
  return el("select", { id }, ...shown);
}
