/** What the page tells of the player by itself: what it is making ready, and how fast it is. */

import { byId, setText } from "./dom.js";
import { follows } from "./explain.js";
import { say, unsay } from "./status.js";
import { short } from "./words.js";

/** Key presses from which on it is told within how long nearly all of them showed. */
const PRESSES = 20;

export class News {
  /** What the status line says is being made ready. */
  #told = "";

  /**
   * @param {import("./player.js").Player} player
   * @param {import("./stats.js").Stats} stats
   */
  constructor(player, stats) {
    this.player = player;
    this.stats = stats;
    window.setInterval(() => {
      this.#speed();
      this.#time();
    }, 500);
  }

  /** Say what is being made ready, and that it may take long; or no longer. */
  show() {
    const what = this.player.busy?.what ?? "";
    byId("busy").hidden = !what;
    byId("stage").setAttribute("aria-busy", String(Boolean(what)));
    const learns = what.split(" and ").some(follows);
    const long = learns ? ": learning from memory takes a minute or two the first time" : "";
    const says = `Getting ${what.replaceAll("_", " ")} ready${long}.`;
    this.#time();
    if (!what) unsay(this.#told);
    else if (this.#told !== says) {
      setText(byId("busy-text"), says);
      say(says);
    }
    this.#told = what ? says : "";
  }

  /** How long it has been getting ready. */
  #time() {
    const { busy } = this.player;
    setText(byId("busy-time"), busy ? `${Math.round((performance.now() - busy.since) / 1000)} s so far` : "");
  }

  #speed() {
    const { fps, median, p99, presses } = this.stats.read();
    const most = presses < PRESSES ? "" : `, 99 % within ${short(p99)} ms`;
    const keys = median == null ? "" : ` · key to frame ${short(median)} ms${most}`;
    setText(byId("performance"), fps ? `${Math.round(fps)} fps${keys}` : "");
  }
}
