/** A recorded moment and its neighbourhood, in a dialog: to look at, to start from, to search from. */

import * as api from "./api.js";
import { byId, el, setText } from "./dom.js";
import { RANK, searchDistance, searchVerdict } from "./explain.js";
import { MomentTile } from "./sources.js";
import { shown } from "./status.js";
import { actionText, points, short, stepOf } from "./words.js";

const AROUND = 4;
const FOUND = 12;
/** Episodes that are asked for at a time, and that are listed. */
const PAGE = 1000;
const LISTED = 10000;

export class MomentDialog {
  /** @type {import("./types.js").Source | null} */
  #source = null;
  /** @type {import("./types.js").Moment} */
  #at = { episode: 0, step: 0 };
  /** @type {import("./types.js").Episode | null} */
  #episode = null;
  /** @type {import("./types.js").Source | null} whose episodes are listed */
  #listed = null;

  /**
   * @param {{start: (source: import("./types.js").Source, moment: import("./types.js").Moment) => void,
   *     browse: (source: import("./types.js").Source, moment: import("./types.js").Moment) => void}} does
   */
  constructor(does) {
    this.dialog = byId("moment");
    this.frame = byId("moment-frame");
    this.episode = byId("moment-episode");
    this.step = byId("moment-step");
    this.strip = Array.from({ length: 2 * AROUND + 1 }, (_, i) => this.#cell(i - AROUND));
    byId("moment-strip").replaceChildren(...this.strip.map(({ root }) => el("li", {}, root)));
    this.tiles = Array.from({ length: FOUND }, () => new MomentTile((found) => this.#go(found)));
    byId("moment-found").replaceChildren(...this.tiles.map((tile) => el("li", {}, tile.root)));
    this.episode.addEventListener("change", () => this.#go({ episode: Number(this.episode.value), step: 0 }));
    this.step.addEventListener("input", () => this.#go({ ...this.#at, step: Number(this.step.value) }));
    byId("moment-close").addEventListener("click", () => this.dialog.close());
    this.dialog.addEventListener("click", (/** @type {MouseEvent} */ event) => {
      if (event.target === this.dialog) this.dialog.close();
    });
    byId("moment-start").addEventListener("click", () => {
      this.dialog.close();
      if (this.#source) does.start(this.#source, this.#at);
    });
    byId("moment-browse").addEventListener("click", () => {
      this.dialog.close();
      if (this.#source) does.browse(this.#source, this.#at);
    });
    byId("moment-search").addEventListener(
      "click",
      shown(() => this.#search()),
    );
  }

  /**
   * @param {import("./types.js").Source} source
   * @param {import("./types.js").Moment} moment
   */
  open(source, moment) {
    this.#source = source;
    this.#episode = null;
    setText(byId("moment-where"), "Reading…");
    if (this.#listed !== source) this.#list(source);
    byId("moment-start").disabled = !source.playable;
    if (!this.dialog.open) this.dialog.showModal();
    this.step.focus();
    return this.#go(moment);
  }

  /** List the episodes to choose from. */
  #list = shown(async (/** @type {import("./types.js").Source} */ source) => {
    this.#listed = source;
    this.episode.replaceChildren();
    for (let from = 0; from < Math.min(source.episodes, LISTED); from += PAGE) {
      const { episodes } = await api.episodes(source.name, from, PAGE);
      if (this.#listed !== source) return;
      for (const { index, id } of episodes) this.#option(index, id);
      if (this.#episode) this.episode.value = String(this.#at.episode);
    }
  });

  /** List an episode in its place, unless it is. @param {number} index @param {string} id */
  #option(index, id) {
    const { options } = this.episode;
    let place = options.length;
    while (place > 0 && Number(options[place - 1].value) >= index) place--;
    if (Number(options[place]?.value) === index) return;
    this.episode.insertBefore(el("option", { value: index }, id), options[place] ?? null);
  }

  /** @param {import("./types.js").Moment} moment */
  #go = shown(async (/** @type {import("./types.js").Moment} */ moment) => {
    const source = this.#source;
    if (!source) return;
    byId("moment-results").hidden = true;
    const index = Math.min(source.episodes - 1, Math.max(0, Math.trunc(moment.episode) || 0));
    this.#at = { episode: index, step: moment.step };
    const episode = await api.episode(source.name, index);
    if (this.#source !== source || this.#at.episode !== index) return;
    this.#episode = episode;
    this.#at.step = Math.min(episode.steps - 1, Math.max(0, this.#at.step));
    this.#show(source, episode);
  });

  /** @param {import("./types.js").Source} source @param {import("./types.js").Episode} episode */
  #show(source, episode) {
    const { step } = this.#at;
    this.#option(episode.index, episode.id);
    this.episode.value = String(episode.index);
    this.step.max = String(episode.steps - 1);
    this.step.value = String(step);
    this.step.setAttribute("aria-valuetext", `step ${stepOf(step, episode.steps)}`);
    this.frame.src = api.frame(source.name, this.#at);
    this.frame.alt = `Recorded frame: episode ${episode.id}, step ${step}`;
    setText(byId("moment-title"), `Episode ${episode.id}`);
    setText(byId("moment-where"), `Step ${stepOf(step, episode.steps)}`);
    setText(byId("moment-action"), actionText(source, episode, step));
    setText(byId("moment-reward"), points(episode.rewards[step]));
    for (const { by, root, image, caption } of this.strip) {
      const there = step + by;
      const exists = there >= 0 && there < episode.steps;
      root.disabled = !exists;
      image.hidden = !exists;
      setText(caption, exists ? (by === 0 ? "here" : by > 0 ? `+${by}` : `−${-by}`) : "");
      root.setAttribute("aria-label", exists ? `Step ${there}` : "before or after the episode");
      if (exists) image.src = api.frame(source.name, { episode: this.#at.episode, step: there });
    }
  }

  /** @param {number} by */
  #cell(by) {
    const image = el("img", { alt: "" });
    const caption = el("span", {});
    const go = () => this.#go({ episode: this.#at.episode, step: this.#at.step + by });
    const root = el("button", { type: "button", class: by === 0 ? "cell here" : "cell", onclick: go }, image, caption);
    return { by, root, image, caption };
  }

  async #search() {
    if (!this.#source) return;
    const source = this.#source;
    const seen = await api.search(source.name, { episode: this.#at.episode, step: this.#at.step }, FOUND);
    const means = `${searchDistance(source)} ${RANK}`;
    this.tiles.forEach((tile, i) => {
      tile.show(seen.found[i] ?? null, source.name, null, means);
      tile.root.parentElement.hidden = !seen.found[i];
    });
    setText(byId("moment-means"), [searchVerdict(source, seen, short), means].filter(Boolean).join(" "));
    const results = byId("moment-results");
    results.hidden = false;
    results.scrollIntoView({ block: "nearest" });
  }
}
