/** A live session: what is asked of the server, one thing after the other, and what came back. No page in it. */

import { LostConnection } from "./channel.js";
import { Trace } from "./trace.js";

/** @typedef {import("./types.js").Settings} Settings */
/** @typedef {import("./types.js").Moment} Moment */
/** @typedef {import("./channel.js").Answer} Answer */

const THUMBS_EVERY = 160;

/**
 * Tells "show" with `detail` {answer, pressed}: an answer with panels and when the keys were pressed that it is the
 * first to heed; "change" when it plays, pauses, records or opens; "opened", with why the real world is not shown though
 * it was asked for; "found" when it goes on after a lost connection; "saved" with names of recordings; and "error".
 */
export class Player extends EventTarget {
  /** @type {import("./types.js").Source | null} */
  source = null;
  /** @type {Settings[]} */
  dreams = [];
  real = false;
  /** @type {Moment | null} what reset goes back to; null draws a start */
  start = null;
  /** @type {Moment | null} where the session really began */
  began = null;
  fps = 15;
  playing = false;
  /** What the server takes long over, as over learning from a memory, and since when. @type {{what: string, since: number} | null} */
  busy = null;
  live = false;
  recording = false;
  /** @type {Answer | null} */
  latest = null;
  /** @type {Trace[]} */
  traces = [];
  /** @type {Promise<unknown>} */
  #queue = Promise.resolve();
  #stepping = false;
  #due = 0;
  #thumbed = -Infinity;
  /** @type {number | undefined} */
  #timer;

  /**
   * @param {import("./channel.js").Channel} channel
   * @param {() => {action: unknown, pressed: number | null}} act what is held: asked when a step is really sent
   */
  constructor(channel, act) {
    super();
    this.channel = channel;
    this.act = act;
    channel.addEventListener("open", () => this.#found());
    for (const end of ["lost", "ended"]) channel.addEventListener(end, () => this.#lost());
  }

  get step() {
    return this.latest?.header.step ?? 0;
  }

  /** @returns {import("./types.js").Panel[]} */
  get panels() {
    return this.latest?.header.panels ?? [];
  }

  get over() {
    const dreams = this.panels.filter((panel) => panel.kind === "dream");
    return dreams.length > 0 && dreams.every((panel) => panel.over);
  }

  /**
   * Begin a session, in place of the one before.
   * @param {import("./types.js").Source} source
   * @param {Settings[]} dreams
   * @param {Moment | null} start
   * @param {boolean} real
   */
  async open(source, dreams, start, real) {
    this.pause();
    Object.assign(this, { source, dreams, start, real, began: null, latest: null, traces: [], live: false });
    if (this.channel.connected) await this.#open(start);
    else this.channel.connect();
  }

  /** @param {Moment | null} start */
  async #open(start) {
    const { source, dreams, real } = this;
    const at = start && { episode: start.episode, step: start.step };
    await this.#patiently(async () => {
      const { header } = await this.#ask({ do: "open", source: source?.name, dreams, start: at, real, thumbs: true });
      this.live = true;
      this.real = header.real;
      this.dispatchEvent(new CustomEvent("opened", { detail: header.real_error ?? null }));
    }, [...new Set(dreams.map(({ strategy }) => strategy))].join(" and "));
  }

  /**
   * Do something that may take long, and tell what has changed by it.
   * @param {() => Promise<unknown>} work
   * @param {string} what it makes ready: strategies, or the real world
   */
  async #patiently(work, what) {
    const since = performance.now();
    const timer = window.setTimeout(() => {
      this.busy = { what, since };
      this.#change();
    }, 400);
    try {
      await work();
    } finally {
      clearTimeout(timer);
      this.busy = null;
      this.#change();
    }
  }

  /** Go on by itself. */
  play() {
    if (this.playing || !this.live) return;
    this.playing = true;
    this.#due = performance.now();
    this.#change();
    this.#next();
  }

  /** Stop going on by itself. */
  pause() {
    clearTimeout(this.#timer);
    if (!this.playing) return;
    this.playing = false;
    this.#change();
  }

  /** All panels take one step under what is held. Never is more than one on its way. */
  async stepOnce() {
    if (this.#stepping || !this.live) return;
    this.#stepping = true;
    const before = this.over;
    /** @type {number[]} */
    const pressed = [];
    try {
      await this.#ask(() => {
        const now = performance.now();
        const thumbs = !this.playing || now - this.#thumbed > THUMBS_EVERY;
        if (thumbs) this.#thumbed = now;
        const taken = this.act();
        if (taken.pressed != null) pressed.push(taken.pressed);
        return { do: "step", action: taken.action, thumbs };
      }, pressed);
      if (this.over && !before) this.pause();
    } finally {
      this.#stepping = false;
    }
  }

  /** Stop, and take one more step. */
  async stepByHand() {
    this.pause();
    await this.#queue;
    await this.stepOnce();
  }

  /** @param {Moment | null} start null draws one */
  async reset(start) {
    this.start = start;
    await this.#ask({ do: "reset", start: start && { episode: start.episode, step: start.step }, thumbs: true });
  }

  /**
   * @param {number} dream
   * @param {Settings} settings
   */
  async change(dream, settings) {
    const asked = () => this.#ask({ do: "settings", dream, settings, thumbs: true });
    await this.#patiently(asked, settings.strategy);
    this.dreams = this.dreams.map((old, i) => (i === dream ? settings : old));
    this.#change();
  }

  /** @param {Settings | null} second the other dream's settings, or null for one alone */
  async compare(second) {
    await this.#ask({ do: "dreams", count: second ? 2 : 1, thumbs: true });
    this.dreams = second ? [this.dreams[0], second] : this.dreams.slice(0, 1);
    if (!second) this.traces.length = 1;
    this.#change();
    if (second) await this.change(1, second);
  }

  /** @param {boolean} on */
  async showReal(on) {
    await this.#patiently(async () => {
      await this.#ask({ do: "real", on, thumbs: true });
      this.real = on;
    }, "the real world");
  }

  /**
   * @param {boolean} on
   * @param {string[]} to
   */
  async record(on, to) {
    await this.#ask(on ? { do: "record", on, to, fps: this.fps } : { do: "record", on });
  }

  /**
   * @param {Record<string, unknown> | (() => Record<string, unknown>)} message
   * @param {number[]} [pressed]
   * @returns {Promise<Answer>}
   */
  #ask(message, pressed = []) {
    const asked = this.#queue.then(async () => {
      const answer = await this.channel.ask(typeof message === "function" ? message() : message);
      if (answer.header.panels) this.#show(answer, pressed);
      return answer;
    });
    this.#queue = asked.catch(() => undefined);
    return asked;
  }

  /** @param {Answer} answer @param {number[]} pressed */
  #show(answer, pressed) {
    const { panels, step, start, recording, saved } = answer.header;
    if (start) this.began = start;
    if (step === 0) this.traces = [];
    const told = step === this.latest?.header.step; // a change that is no step adds nothing to the traces
    this.latest = answer;
    if (recording !== this.recording) {
      this.recording = recording;
      this.#change();
    }
    if (saved.length) this.dispatchEvent(new CustomEvent("saved", { detail: saved }));
    panels.forEach((/** @type {import("./types.js").Panel} */ panel, /** @type {number} */ i) => {
      if (told && this.traces[i]) return;
      this.traces[i] ??= new Trace(this.traces[0] ? this.traces[0].supports.length - 1 : 0);
      this.traces[i].add(panel, step);
    });
    this.dispatchEvent(new CustomEvent("show", { detail: { answer, pressed } }));
  }

  async #next() {
    while (this.playing) {
      const wait = this.#due - performance.now();
      if (wait > 0) {
        this.#timer = window.setTimeout(() => this.#next(), wait);
        return;
      }
      this.#due = Math.max(this.#due + 1000 / this.fps, performance.now() - 1000 / this.fps);
      try {
        await this.stepOnce();
      } catch (error) {
        if (error instanceof LostConnection) return;
        this.pause();
        this.#fail(error);
      }
    }
  }

  /** There is a line, for the first time or again: open what was open, near where it was. */
  async #found() {
    if (!this.source) return;
    const again = this.latest != null;
    const near = this.panels[0]?.neighbours[0];
    const going = this.playing;
    this.playing = false;
    try {
      await this.#open(again && near && this.step > 0 ? near : (this.began ?? this.start));
    } catch (error) {
      if (!(error instanceof LostConnection)) this.#fail(error);
      return;
    }
    if (again) this.dispatchEvent(new Event("found"));
    if (going) this.play();
  }

  #lost() {
    clearTimeout(this.#timer);
    this.live = false;
    this.recording = false;
    this.#change();
  }

  /** @param {unknown} error */
  #fail(error) {
    this.dispatchEvent(new CustomEvent("error", { detail: error }));
  }

  #change() {
    this.dispatchEvent(new Event("change"));
  }
}
