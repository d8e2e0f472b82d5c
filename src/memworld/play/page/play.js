/** The tab "Play": the player's session, and everything on the page that shows it and steers it. */

import { Beside } from "./beside.js";
import { byId, setText } from "./dom.js";
import { inputs } from "./inputs.js";
import { Bindings, entriesOf } from "./keys.js";
import { KeyTable } from "./keytable.js";
import { News } from "./news.js";
import { Panels } from "./panels.js";
import { Player } from "./player.js";
import { recordings } from "./recordings.js";
import { SettingsForms } from "./settings.js";
import { Stats } from "./stats.js";
import { fail, say, settle, shown, unsay } from "./status.js";

/** @typedef {import("./types.js").Source} Source */
/** @typedef {import("./types.js").Moment} Moment */
/** @typedef {import("./types.js").Settings} Settings */
/** @typedef {import("./channel.js").Answer} Answer */

const HOLD = "The settings hold from here on.";

/** Tells "moved" when the address of what is played has changed. */
export class PlayView extends EventTarget {
  /** @type {{answer: Answer, pressed: number[]} | null} */
  #waiting = null;
  /** @type {Settings | null} the second dream's, when it was last shown */
  #second = null;
  /** Whether an action's key begins to play: unless one has paused or stepped by hand. */
  #ready = false;
  /** From when on keys are timed: what was held through a pause tells nothing of speed. */
  #counts = 0;
  /** @type {Map<string, boolean>} switches whose change is not answered yet */
  #switched = new Map();
  /** @type {Record<number, Settings>} asked for, and not answered yet, by dream */
  #asked = {};
  /** What the status line says until somebody plays. */
  #invitation = "";
  /** Of what an address asks for that there is not. */
  notice = "";

  /**
   * @param {import("./channel.js").Channel} channel
   * @param {import("./keys.js").Held} held
   * @param {(source: Source, moment: Moment) => void} open a recorded moment
   */
  constructor(channel, held, open) {
    super();
    this.held = held;
    this.stats = new Stats();
    this.bindings = new Bindings("", []);
    this.player = new Player(channel, () => this.#act());
    this.news = new News(this.player, this.stats);
    this.forms = new SettingsForms((dream, changed) => this.change(dream, changed));
    this.panels = new Panels((dream, strategy) => this.change(dream, { strategy }));
    const openHere = (/** @type {Moment} */ moment) => this.player.source && open(this.player.source, moment);
    this.beside = new Beside(this.player, openHere);
    this.table = new KeyTable(
      held,
      (entry, time) => (entry.command ? this.command(entry.command) : this.begin(time)),
      () => this.player.playing,
    );
    inputs(this);
    recordings(this.player);
    this.#listen(openHere);
  }

  /**
   * Play in a memory.
   * @param {Source} source
   * @param {Settings[]} dreams
   * @param {Moment | null} start
   * @param {boolean} real
   */
  async open(source, dreams, start, real) {
    settle();
    this.#ready = true;
    this.stats.clear();
    if (!source.keys || !source.settings) throw new Error(`${source.title} cannot be played: ${source.why_not}`);
    this.forms.choices = source.settings;
    this.bindings = new Bindings(source.world, entriesOf(source.keys));
    this.table.show(this.bindings);
    byId("real").closest("label").title = source.why_not_real ?? "";
    const fitting = dreams.map((settings) => this.forms.fitting(settings));
    const unknown = dreams.find(({ strategy }) => strategy && !this.forms.strategies.includes(strategy));
    if (unknown) this.notice += `There is no strategy "${unknown.strategy}": ${fitting[0].strategy} dreams instead. `;
    const session = this.player.open(
      source,
      fitting.length ? fitting : [this.forms.fitting({ strategy: "" })],
      start,
      real && source.real,
    );
    this.#arrange();
    this.beside.map.load(source).catch(fail);
    await session;
  }

  /** Whether something has been opened. */
  get opened() {
    return this.player.source != null;
  }

  /** What is held, for the step that is sent now. */
  #act() {
    const action = this.held.action(this.bindings, this.player.source?.keys?.rest);
    const since = this.held.taken();
    this.table.light();
    return { action, pressed: since != null && since >= this.#counts && this.player.playing ? since : null };
  }

  /** An action on the stage begins the dream. @param {number} time when its key was pressed */
  begin(time) {
    if (!this.#ready || this.player.playing) return;
    this.#counts = time;
    this.player.play();
  }

  /** @param {string} command */
  command = shown(async (/** @type {string} */ command) => {
    const { player } = this;
    if (command === "pause") {
      this.#ready = !player.playing;
      this.#counts = performance.now();
      player.playing ? player.pause() : player.play();
    } else if (command === "step") {
      this.#ready = false;
      await player.stepByHand();
    } else if (command === "reset") await this.reset(player.start ?? player.began);
  });

  /** @param {Moment | null} start */
  async reset(start) {
    const { playing } = this.player;
    this.player.pause();
    await this.player.reset(start);
    if (playing) this.player.play();
    const says = `Begins again at episode ${this.player.began?.id ?? ""}, step ${this.player.began?.step ?? 0}.`;
    say(says);
    if (!playing) this.#invitation = says;
  }

  /**
   * Dream on by other settings.
   * @param {number} dream
   * @param {Record<string, unknown>} changed a new strategy begins with its own defaults
   */
  change = shown(async (/** @type {number} */ dream, /** @type {Record<string, unknown>} */ changed) => {
    const before = changed.strategy ? { strategy: "" } : (this.#asked[dream] ?? this.player.dreams[dream]);
    const settings = this.forms.fitting({ ...before, ...changed });
    this.#asked[dream] = settings; // one change may follow another before the server has answered
    try {
      unsay(HOLD);
      await this.player.change(dream, settings);
      say(HOLD);
    } finally {
      if (this.#asked[dream] === settings) delete this.#asked[dream];
      this.#showSettings(true); // back to what holds, where the server refused
      this.#arrange();
    }
  });

  /** @param {boolean} [anew] */
  #showSettings(anew) {
    this.forms.show(
      this.player.dreams.map((settings, i) => this.#asked[i] ?? settings),
      anew,
    );
  }

  /** Redraw what is on canvases, as for another theme. */
  repaint() {
    this.beside.map.repaint();
    this.beside.show(true);
  }

  /** @param {(moment: Moment) => unknown} openHere */
  #listen(openHere) {
    const { player } = this;
    player.addEventListener("show", (event) => this.#take(/** @type {CustomEvent} */ (event).detail));
    player.addEventListener("change", () => this.#arrange());
    player.addEventListener("opened", (event) => {
      const { detail } = /** @type {CustomEvent} */ (event);
      if (detail) fail(detail);
      const keyless = window.matchMedia("(hover: none) and (pointer: coarse)").matches;
      const how = keyless ? "Press Play, or hold the name of an action." : "Hold a key to begin, or press Play.";
      this.#invitation = this.notice + how;
      this.notice = "";
      say(this.#invitation);
    });
    player.addEventListener("error", (event) => {
      const { source, dreams, start, real } = player;
      // Where nothing was opened, there may be no such moment any more: the first one there is.
      const at = player.live ? start : { episode: 0, step: 0 };
      fail(/** @type {CustomEvent} */ (event).detail, {
        label: "Open again",
        act: () => source && shown(() => this.open(source, dreams, at, real))(),
      });
    });
    player.addEventListener("found", () => {
      settle();
      const at = player.began;
      say(
        `The connection is back. The dream goes on from episode ${at?.id ?? at?.episode}, step ${at?.step}, the recorded moment nearest to where it was.`,
      );
    });
    byId("play").addEventListener("click", () => this.command("pause"));
    byId("step").addEventListener("click", () => this.command("step"));
    byId("reset").addEventListener("click", () => this.command("reset"));
    byId("choose-start").addEventListener("click", () => openHere(player.began ?? { episode: 0, step: 0 }));
    byId("speed").addEventListener("input", () => this.speed(Number(byId("speed").value)));
    byId("compare").addEventListener(
      "change",
      shown(() => this.#switch("compare", (on) => this.#compare(on))),
    );
    byId("real").addEventListener(
      "change",
      shown(() => this.#switch("real", (on) => player.showReal(on))),
    );
  }

  /** @param {number} fps */
  speed(fps) {
    this.player.fps = fps;
    byId("speed").value = String(fps);
    setText(byId("speed-text"), `${fps} fps`);
    this.dispatchEvent(new Event("moved"));
  }

  /** @param {boolean} on */
  async #compare(on) {
    const { player } = this;
    this.#second = player.dreams[1] ?? this.#second ?? this.#unlike(player.dreams[0]);
    await player.compare(on ? this.#second : null);
    this.beside.look(0);
  }

  /**
   * Do what a switch asks for. Until it is answered it stands as it was set, and then as things are.
   * @param {string} id
   * @param {(on: boolean) => Promise<unknown>} act
   */
  async #switch(id, act) {
    const { checked } = byId(id);
    this.#switched.set(id, checked);
    try {
      await act(checked);
    } finally {
      this.#switched.delete(id);
      this.#arrange();
    }
  }

  /** Something to compare with: another strategy. @param {Settings} first @returns {Settings} */
  #unlike(first) {
    const others = this.forms.strategies.filter((name) => name !== first.strategy);
    return { strategy: others.find((name) => name === "replay_kl") ?? others[0] ?? first.strategy };
  }

  /** Whether it plays, records, opens: the buttons, forms and panels that say so. */
  #arrange() {
    const { player, forms } = this;
    const { source, playing, live } = player;
    if (!source) return;
    byId("play").classList.toggle("on", playing);
    setText(byId("play-text"), playing ? "Pause" : "Play");
    for (const id of ["play", "step", "reset", "compare"]) byId(id).disabled = !live;
    byId("choose-start").disabled = source.episodes === 0;
    byId("compare").checked = this.#switched.get("compare") ?? player.dreams.length > 1;
    byId("real").checked = this.#switched.get("real") ?? player.real;
    byId("real").disabled = !source.real || !live;
    byId("focus").hidden = player.dreams.length < 2;
    this.news.show();
    const dreams = player.dreams.map((settings, i) => this.#asked[i] ?? settings);
    const pending = new Set(Object.keys(this.#asked).map(Number));
    this.panels.arrange([source.frame[0], source.frame[1]], dreams, player.real, forms.strategies, pending);
    this.#showSettings();
    this.beside.show(true);
    this.dispatchEvent(new Event("moved"));
  }

  /** Draw with the screen's next frame; only the latest answer, if there are several. @param {{answer: Answer, pressed: number[]}} news */
  #take(news) {
    if (news.answer.header.step > 0) unsay(this.#invitation);
    if (this.#waiting) {
      this.#waiting = { answer: news.answer, pressed: [...this.#waiting.pressed, ...news.pressed] };
      return;
    }
    this.#waiting = news;
    requestAnimationFrame(() => {
      const { answer, pressed } = /** @type {{answer: Answer, pressed: number[]}} */ (this.#waiting);
      this.#waiting = null;
      this.panels.show(answer, !this.player.playing);
      this.stats.drew(performance.now(), pressed);
      this.beside.show(!this.player.playing);
    });
  }
}
