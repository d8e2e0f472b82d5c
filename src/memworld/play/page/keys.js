/** Which keys mean which action, and which of them are held. */

import { keep, recall } from "./store.js";

/**
 * Something that keys can do: an action, one end of an axis, or a command of the page.
 * @typedef {object} Entry
 * @property {string} id
 * @property {string} label
 * @property {string[]} defaults chords, as they come with the world: codes joined by "+"
 * @property {unknown} [value] the action of a discrete world
 * @property {{column: number, to: number, continuous: boolean}} [axis] what it makes of a column of the action
 * @property {string} [command]
 */

/** @type {Entry[]} */
export const COMMANDS = [
  { id: "pause", label: "Play or pause", defaults: ["KeyP"], command: "pause" },
  { id: "step", label: "One step", defaults: ["Period"], command: "step" },
  { id: "reset", label: "Reset", defaults: ["KeyR"], command: "reset" },
];

/**
 * What can be done in a world.
 * @param {import("./types.js").Keys} keys
 * @returns {Entry[]}
 */
export function entriesOf(keys) {
  const chords = (/** @type {string[][]} */ listed) => listed.map((codes) => chordOf(codes));
  const actions = keys.actions.map((action) => ({
    id: `action-${action.value}`,
    label: action.label,
    value: action.value,
    defaults: chords(action.keys),
  }));
  const choices = keys.axes.flatMap(({ column, continuous, choices }) =>
    choices.map((choice) => ({
      id: `column-${column}-${choice.value}`,
      label: choice.label,
      defaults: chords(choice.keys),
      axis: { column, to: choice.value, continuous },
    })),
  );
  return [...actions, ...choices];
}

/** Keys that are held together, in an order of their own. @param {Iterable<string>} codes */
export function chordOf(codes) {
  return [...codes].sort().join("+");
}

/** The chords of every entry, as this person wants them; kept in the browser, one set for every world. */
export class Bindings {
  /** @type {Record<string, string[]>} */
  #changed = {};

  /**
   * @param {string} world
   * @param {Entry[]} entries of the world, without the commands
   */
  constructor(world, entries) {
    this.place = `keys.${world}`;
    this.entries = [...entries, ...COMMANDS];
    try {
      const kept = JSON.parse(recall(this.place) ?? "{}");
      for (const { id } of this.entries) if (Array.isArray(kept[id])) this.#changed[id] = kept[id].map(String);
    } catch {
      keep(this.place, null); // not what this page writes
    }
  }

  get changed() {
    return Object.keys(this.#changed).length > 0;
  }

  /** @param {Entry} entry */
  chords(entry) {
    return this.#changed[entry.id] ?? entry.defaults;
  }

  /**
   * Give an entry other keys, and take them from whatever had them.
   * @param {Entry} entry
   * @param {string[]} chords
   * @returns {Entry[]} the entries that lost theirs
   */
  bind(entry, chords) {
    const losers = this.entries.filter((e) => e !== entry && this.chords(e).some((chord) => chords.includes(chord)));
    for (const loser of losers) this.#changed[loser.id] = this.chords(loser).filter((chord) => !chords.includes(chord));
    this.#changed[entry.id] = chords;
    keep(this.place, JSON.stringify(this.#changed));
    return losers;
  }

  /** Take the keys that come with the world. */
  reset() {
    this.#changed = {};
    keep(this.place, null);
  }

  /**
   * The entry of a key that is pressed alone, if it is a command; an action's key is never one.
   * @param {string} code
   */
  command(code) {
    const of = this.entries.filter((entry) => this.chords(entry).some((chord) => chord.split("+").includes(code)));
    return of.every((entry) => entry.command) ? of[0]?.command : undefined;
  }

  /** @param {string} code whether any chord of an action has it */
  acts(code) {
    return this.entries.some((e) => !e.command && this.chords(e).some((chord) => chord.split("+").includes(code)));
  }
}

/** What is held now, and what was pressed since the last step, however shortly. */
export class Held {
  /** @type {Map<string, {order: number, strength: number}>} */
  #down = new Map();
  /** @type {Set<string>} released since the last step, but pressed since it too */
  #tapped = new Set();
  /** @type {Set<string>} */
  #fresh = new Set();
  #order = 0;
  /** @type {number | null} when the first key since the last step was pressed */
  #since = null;

  /**
   * @param {string} code of a key, or `entry:ID` of an entry that is held on the page itself
   * @param {number} time in milliseconds, of `performance.now`
   * @param {number} [strength] 0..1: how far a stick is pushed
   */
  press(code, time, strength = 1) {
    const held = this.#down.get(code);
    if (held) held.strength = strength;
    else {
      this.#down.set(code, { order: ++this.#order, strength });
      this.#fresh.add(code);
      this.#since ??= time;
    }
    this.#tapped.delete(code);
  }

  /**
   * @param {string} code
   * @param {boolean} stays whether a step is coming that may still take it, if none has
   */
  release(code, stays) {
    if (stays && this.#fresh.has(code)) this.#tapped.add(code);
    else {
      this.#down.delete(code);
      this.#fresh.delete(code);
      if (!this.#fresh.size) this.#since = null;
    }
  }

  /** Let go of everything. */
  clear() {
    this.#down.clear();
    this.#tapped.clear();
    this.#fresh.clear();
    this.#since = null;
  }

  /**
   * The entries whose keys are held, the one that counts first: most keys, then the latest.
   * @param {Bindings} bindings
   * @returns {{entry: Entry, strength: number}[]}
   */
  active(bindings) {
    /** @type {{entry: Entry, strength: number, keys: number, order: number}[]} */
    const found = [];
    for (const entry of bindings.entries) {
      for (const chord of [...bindings.chords(entry), `entry:${entry.id}`]) {
        const keys = chord.split("+").map((code) => this.#down.get(code));
        if (!keys.every(Boolean)) continue;
        const held = /** @type {{order: number, strength: number}[]} */ (keys);
        const order = Math.max(...held.map((key) => key.order));
        found.push({ entry, strength: Math.min(...held.map((key) => key.strength)), keys: held.length, order });
      }
    }
    return found.sort((a, b) => b.keys - a.keys || b.order - a.order);
  }

  /**
   * Those that count: one action, or one choice for each column of it.
   * @param {Bindings} bindings
   */
  inForce(bindings) {
    const taken = new Set();
    return this.active(bindings).filter(({ entry }) => {
      const what = entry.axis?.column ?? "action";
      return !entry.command && !taken.has(what) && taken.add(what);
    });
  }

  /** Whether a key is down. @param {string} code */
  has(code) {
    return this.#down.has(code) && !this.#tapped.has(code);
  }

  /**
   * The action of the next step.
   * @param {Bindings} bindings
   * @param {any} rest
   */
  action(bindings, rest) {
    let action = Array.isArray(rest) ? [...rest] : rest;
    for (const { entry, strength } of this.inForce(bindings)) {
      if (!entry.axis) action = entry.value;
      else {
        const { column, to, continuous } = entry.axis;
        action[column] = continuous ? rest[column] + (to - rest[column]) * strength : to;
      }
    }
    return action;
  }

  /**
   * A step has taken what was held. Keys that were only tapped are up from here on.
   * @returns {number | null} when the first key that counts newly in it was pressed
   */
  taken() {
    const since = this.#since;
    for (const code of this.#tapped) this.#down.delete(code);
    this.#tapped.clear();
    this.#fresh.clear();
    this.#since = null;
    return since;
  }
}
