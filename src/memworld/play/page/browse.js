/** Looking through data sets and memories: an episode's frames and curves, and where else a frame has been seen. */

import * as api from "./api.js";
import { curveStep, curveX, drawCurves } from "./charts.js";
import { byId, el, setText } from "./dom.js";
import { EpisodeTable } from "./episodes.js";
import { RANK, searchDistance, searchVerdict } from "./explain.js";
import { MomentTile } from "./sources.js";
import { say, shown } from "./status.js";
import { actionNames, actionText, counted, points, short, shortTitle, stepOf } from "./words.js";

/** @typedef {import("./types.js").Source} Source */
/** @typedef {import("./types.js").Moment} Moment */

const FOUND = 12;
const FPS = 15;
/** Curves of rewards and of as many columns of the action as can be told apart. */
const LANES = 9;

/** Tells "moved" when another source, episode or step is looked at. */
export class Browser extends EventTarget {
  /** @type {Source | null} */
  source = null;
  /** @type {Moment} */
  at = { episode: 0, step: 0 };
  /** @type {import("./types.js").Episode | null} */
  #episode = null;
  /** @type {number | undefined} */
  #running;
  #searched = "";
  #asked = 0;

  /**
   * @param {Source[]} sources
   * @param {{play: (source: Source, moment: Moment) => void, open: (source: Source, moment: Moment) => void}} does
   */
  constructor(sources, does) {
    super();
    this.sources = sources;
    this.table = new EpisodeTable((index) => this.go({ episode: index, step: 0 }));
    this.tiles = Array.from(
      { length: FOUND },
      () =>
        new MomentTile((found) => {
          const source = sources.find(({ name }) => name === this.#searched);
          if (source) does.open(source, found);
        }),
    );
    byId("found").replaceChildren(...this.tiles.map((tile) => el("li", { hidden: true }, tile.root)));
    this.scrubber = byId("scrubber");
    this.scrubber.addEventListener("input", () => this.#at(Number(this.scrubber.value)));
    byId("curves").addEventListener("pointerdown", (/** @type {PointerEvent} */ event) => this.#drag(event));
    byId("curves").addEventListener(
      "pointermove",
      (/** @type {PointerEvent} */ event) => event.buttons && this.#drag(event),
    );
    byId("strip").addEventListener("click", (/** @type {MouseEvent} */ event) => this.#fromStrip(event));
    byId("run").addEventListener("click", () => this.#run(this.#running == null));
    byId("play-here").addEventListener("click", () => this.source && does.play(this.source, this.at));
    byId("seen").addEventListener(
      "click",
      shown(() => this.#searchHere()),
    );
    byId("upload").addEventListener(
      "change",
      shown(() => this.#searchFile(byId("upload").files[0])),
    );
    this.#dropping(byId("drop"));
    const searched = sources.filter(({ frame }) => frame);
    byId("search-in").replaceChildren(
      ...searched.map((each) => el("option", { value: each.name, title: each.title }, shortTitle(each))),
    );
    new ResizeObserver(() => this.repaint()).observe(byId("curves"));
    new ResizeObserver(() => this.#showStrip()).observe(byId("strip"));
  }

  /**
   * Look at a source, at a moment of it.
   * @param {Source} source
   * @param {Moment} [moment]
   */
  async show(source, moment = { episode: 0, step: 0 }) {
    if (this.source !== source) {
      this.source = source;
      this.#episode = null;
      // Nothing of the source before stays in view.
      byId("episode-body").classList.add("unread");
      byId("episode-body").hidden = false;
      setText(byId("episode-title"), "Episode");
      this.#tell([], "", "");
      const here = byId("play-here");
      here.disabled = !source.playable;
      here.title = source.why_not ?? "";
      setText(byId("play-why"), source.playable ? "" : (source.why_not ?? ""));
      byId("search-in").value = source.name;
      setText(
        byId("about-source"),
        `${source.kind === "memory" ? "Memory" : "Data set"} of ${source.world}: ${counted(
          source.episodes,
          "episode",
        )}, ${counted(source.steps, "step")}, frames ${source.frame.join("×")}`,
      );
      this.table.load(source.name).then(
        () => this.table.mark(this.at.episode, this.#episode),
        shown((error) => {
          throw error;
        }),
      );
    }
    await this.go(moment);
  }

  /** @param {Moment} moment */
  go = shown(async (/** @type {Moment} */ moment) => {
    const source = this.source;
    if (!source) return;
    this.#run(false);
    const asked = ++this.#asked;
    const index = Math.min(source.episodes - 1, Math.max(0, moment.episode));
    if (index < 0) return this.#empty();
    const episode = await api.episode(source.name, index);
    if (this.source !== source || this.#asked !== asked) return; // something else was asked for since
    this.#episode = episode;
    byId("episode-body").classList.remove("unread");
    this.at = { episode: index, step: 0, id: episode.id };
    this.table.mark(index, episode);
    setText(byId("episode-title"), `Episode ${episode.id}`);
    this.scrubber.max = String(episode.steps - 1);
    this.#showStrip();
    this.#at(moment.step);
  });

  /** Draw the curves anew, as for another theme or size. */
  repaint() {
    const [source, episode] = [this.source, this.#episode];
    if (!source || !episode) return;
    const lanes = lanesOf(source, episode).slice(0, LANES);
    byId("curves").style.height = `${Math.max(132, 52 * lanes.length)}px`;
    drawCurves(byId("curves"), lanes, this.at.step);
  }

  #empty() {
    setText(byId("episode-title"), "No episodes");
    byId("episode-body").hidden = true;
    say("There is no episode in it.");
  }

  /** @param {number} step */
  #at(step) {
    const [source, episode] = [this.source, this.#episode];
    if (!source || !episode) return;
    this.at = { ...this.at, step: Math.min(episode.steps - 1, Math.max(0, step)) };
    step = this.at.step;
    this.scrubber.value = String(step);
    this.scrubber.setAttribute("aria-valuetext", `step ${stepOf(step, episode.steps)}`);
    const frame = byId("episode-frame");
    frame.src = api.frame(source.name, this.at);
    frame.alt = `Frame of episode ${episode.id} at step ${step}`;
    setText(byId("at-step"), stepOf(step, episode.steps));
    setText(byId("at-action"), actionText(source, episode, step));
    setText(byId("at-reward"), points(episode.rewards[step]));
    byId("strip-at").style.left = `${curveX(step, episode.steps, byId("strip").clientWidth)}px`;
    this.repaint();
    this.dispatchEvent(new Event("moved"));
  }

  #showStrip() {
    const [source, episode] = [this.source, this.#episode];
    const strip = byId("strip");
    if (!source || !episode || !strip.clientWidth) return;
    const [height, width] = source.frame;
    const count = Math.min(episode.steps, Math.max(3, Math.round(strip.clientWidth / ((72 * width) / height))));
    strip.style.setProperty("--count", String(count));
    const image = byId("strip-image");
    const address = api.strip(source.name, this.at.episode, count);
    if (image.getAttribute("src") !== address) image.src = address;
    image.alt = `Film strip of episode ${episode.id}: ${counted(count, "frame")} from its first step to its last`;
  }

  /** @param {MouseEvent} event */
  #fromStrip(event) {
    const strip = byId("strip");
    const x = event.clientX - strip.getBoundingClientRect().left;
    this.#at(curveStep(x, this.#episode?.steps ?? 1, strip.clientWidth));
  }

  /** @param {PointerEvent} event */
  #drag(event) {
    this.#at(curveStep(event.offsetX, this.#episode?.steps ?? 1, byId("curves").clientWidth));
  }

  /** Show the recording as it was, or stop. @param {boolean} on */
  #run(on) {
    clearInterval(this.#running);
    this.#running = undefined;
    if (on && this.#episode) {
      if (this.at.step >= this.#episode.steps - 1) this.#at(0);
      this.#running = window.setInterval(() => {
        this.#at(this.at.step + 1);
        if (this.at.step >= (this.#episode?.steps ?? 0) - 1) this.#run(false);
      }, 1000 / FPS);
    }
    setText(byId("run"), this.#running == null ? "Play the recording" : "Stop");
  }

  async #searchHere() {
    if (!this.source) return;
    const memory = byId("search-in").value;
    const own = memory === this.source.name;
    await this.#search(own ? this.at : await api.framePicture(this.source.name, this.at), memory);
    byId("found-title").scrollIntoView({ block: "nearest" });
  }

  /** @param {File | undefined} file */
  async #searchFile(file) {
    byId("upload").value = "";
    if (!file) return;
    if (file.type !== "image/png") throw new Error(`${file.name} is not a PNG picture: save it as PNG and try again.`);
    await this.#search(file, byId("search-in").value);
  }

  /** @param {Blob | Moment} what @param {string} memory */
  async #search(what, memory) {
    const source = this.sources.find(({ name }) => name === memory);
    if (!source) return;
    say("Searching…");
    const seen = await api.search(memory, what, FOUND);
    this.#searched = memory;
    this.#tell(seen.found, searchVerdict(source, seen, short), `${searchDistance(source)} ${RANK}`);
    say(seen.unlike ? "Nothing recorded is like this." : `${counted(seen.found.length, "recorded moment")} found.`);
  }

  /**
   * Show what was found, or nothing.
   * @param {import("./types.js").Neighbour[]} found
   * @param {string} verdict
   * @param {string} means what distances and weights mean
   */
  #tell(found, verdict, means) {
    this.tiles.forEach((tile, i) => {
      tile.show(found[i] ?? null, this.#searched, null, means);
      tile.root.parentElement.hidden = !found[i];
    });
    setText(byId("found-verdict"), verdict);
    setText(byId("found-means"), means);
    byId("found-none").hidden = found.length > 0;
  }

  /** @param {HTMLElement} zone */
  #dropping(zone) {
    const over = (/** @type {boolean} */ on) => zone.classList.toggle("over", on);
    zone.addEventListener("dragover", (event) => {
      event.preventDefault();
      over(true);
    });
    zone.addEventListener("dragleave", () => over(false));
    zone.addEventListener(
      "drop",
      shown(async (event) => {
        event.preventDefault();
        over(false);
        await this.#searchFile(event.dataTransfer?.files[0]);
      }),
    );
  }
}

/**
 * The curves of an episode: rewards, then actions.
 * @param {Source} source
 * @param {import("./types.js").Episode} episode
 * @returns {import("./charts.js").Lane[]}
 */
function lanesOf(source, episode) {
  const rewards = { label: "reward", values: episode.rewards };
  if (!Array.isArray(episode.actions[0])) {
    const names = actionNames(source, episode);
    return [rewards, { label: "action", values: episode.actions.map(Number), stepped: true, names }];
  }
  const columns = episode.columns.map((label, column) => ({
    label,
    values: episode.actions.map((action) => Number(action[column])),
    stepped: true,
  }));
  return [rewards, ...columns];
}
