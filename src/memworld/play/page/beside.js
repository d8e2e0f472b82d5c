/** What lies beside the frames: the moments behind one, support over time, the map, and where the dream is. */

import { drawSupport } from "./charts.js";
import { byId, setText } from "./dom.js";
import { distanceOf } from "./explain.js";
import { MapView } from "./map.js";
import { Sources } from "./sources.js";
import { known } from "./words.js";

const CHART_STEPS = 200;
/** Milliseconds; nobody reads faster. */
const EVERY = 150;

export class Beside {
  #dream = 0;
  #at = -Infinity;

  /**
   * @param {import("./player.js").Player} player
   * @param {(moment: import("./types.js").Moment) => void} open a recorded moment
   */
  constructor(player, open) {
    this.player = player;
    this.sources = new Sources(byId("sources"), byId("sources-note"), byId("sources-measure"), open);
    this.map = new MapView(byId("map"), byId("map-caption"), open);
    for (const i of [0, 1]) byId(`focus-${i}`).addEventListener("click", () => this.look(i));
    new ResizeObserver(() => this.show(true)).observe(byId("support"));
  }

  /** @param {number} dream whose sources are shown */
  look(dream) {
    this.#dream = dream;
    for (const i of [0, 1]) byId(`focus-${i}`).setAttribute("aria-pressed", String(i === dream));
    this.show(true);
  }

  /** @param {boolean} still whether it stays; else it is shown some times a second */
  show(still) {
    const { player } = this;
    const dream = Math.min(this.#dream, Math.max(0, player.dreams.length - 1));
    const panel = player.panels[dream] ?? null;
    const traces = player.traces.slice(0, player.dreams.length);
    // While it plays, answers without thumbnails are passed over: to fetch those would slow it down.
    if (still || panel?.neighbours.every((moment) => moment.thumb !== undefined)) {
      const since = player.step - (traces[dream]?.searched ?? 0);
      this.sources.show(panel, player.latest, player.source?.name ?? "", since, distanceOf(player.dreams[dream]));
    }
    const time = performance.now();
    if (!still && time - this.#at < EVERY) return;
    this.#at = time;
    const supports = traces.map((trace) => trace.supports);
    drawSupport(byId("support"), supports, CHART_STEPS);
    const support = panel?.support ?? null;
    const why = panel?.no_support ?? "";
    const says = support == null ? "–" : `${support.toFixed(2)}, ${known(support)}`;
    setText(byId("support-now"), says);
    byId("support-now").title = why;
    byId("support").setAttribute("aria-label", `Support over time, now ${why ? `not told: ${why}` : says}`);
    this.map.show(traces.map((trace) => trace.places));
    const at = player.began;
    setText(byId("where"), at ? `Step ${player.step} since episode ${at.id ?? at.episode}, step ${at.step}` : "");
  }
}
