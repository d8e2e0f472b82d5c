/** The recorded moments behind a frame, largest share first; in fixed places, so that nothing jumps. */

import * as api from "./api.js";
import { el, setText } from "./dom.js";
import { SHARE } from "./explain.js";
import { percent, short } from "./words.js";

const PLACES = 8;

/** One recorded moment: its picture, where it is from, how far, and its share. */
export class MomentTile {
  /** @type {import("./types.js").Neighbour | null} */
  #moment = null;
  #drawn = "";

  /** @param {(moment: import("./types.js").Neighbour) => void} open */
  constructor(open) {
    this.thumb = el("canvas", { width: 64, height: 64, "aria-hidden": "true" });
    this.name = el("span", { class: "name" });
    this.step = el("span", { class: "step" });
    this.far = el("span", { class: "far" });
    this.share = el("span", { class: "share" });
    this.fill = el("span", { class: "fill" });
    this.bar = el("span", { class: "bar", "aria-hidden": "true" }, this.fill);
    const words = [this.name, this.step, this.far, this.share];
    this.root = el(
      "button",
      { type: "button", class: "moment", disabled: true, onclick: () => this.#moment && open(this.#moment) },
      this.thumb,
      el("span", { class: "words" }, ...words, this.bar),
    );
  }

  /**
   * @param {import("./types.js").Neighbour | null} moment null empties it
   * @param {string} source where its frame can be fetched
   * @param {ImageData | null} image its frame, if it is at hand
   * @param {string} means what its distance and its weight mean
   */
  show(moment, source, image, means) {
    this.#moment = moment;
    this.root.disabled = !moment;
    this.root.classList.toggle("empty", !moment);
    setText(this.name, moment?.id ?? "");
    setText(this.step, moment ? `step ${moment.step}` : "");
    setText(this.far, moment ? `distance ${short(moment.distance)}` : "");
    setText(this.share, moment && moment.weight != null ? `weight ${percent(moment.weight)}` : "");
    this.bar.hidden = moment != null && moment.weight == null;
    this.fill.style.width = `${100 * (moment?.weight ?? 0)}%`;
    if (!moment) {
      this.#drawn = "";
      this.root.removeAttribute("aria-label");
      this.thumb.getContext("2d")?.clearRect(0, 0, this.thumb.width, this.thumb.height);
      return;
    }
    const share = moment.weight == null ? "" : `, weight ${percent(moment.weight)}`;
    this.root.title = `${moment.id}, step ${moment.step}. ${means}`;
    this.root.setAttribute(
      "aria-label",
      `Recorded moment: episode ${moment.id}, step ${moment.step}, distance ${short(moment.distance)}${share}. Open it.`,
    );
    const address = api.frame(source, moment);
    if (address === this.#drawn) return;
    if (image) this.#draw(image, address);
    else this.#fetch(address);
  }

  /** @param {ImageData} image @param {string} address */
  #draw(image, address) {
    this.thumb.width = image.width;
    this.thumb.height = image.height;
    this.thumb.getContext("2d")?.putImageData(image, 0, 0);
    this.#drawn = address;
  }

  /** @param {string} address */
  #fetch(address) {
    this.#drawn = address;
    const picture = new Image();
    picture.onload = () => {
      if (this.#drawn !== address) return;
      this.thumb.width = picture.naturalWidth;
      this.thumb.height = picture.naturalHeight;
      this.thumb.getContext("2d")?.drawImage(picture, 0, 0);
    };
    picture.src = address;
  }
}

/** The list beside the frame. */
export class Sources {
  /**
   * @param {HTMLElement} list
   * @param {HTMLElement} note where they are from
   * @param {HTMLElement} measure what their numbers mean
   * @param {(moment: import("./types.js").Neighbour) => void} open
   */
  constructor(list, note, measure, open) {
    this.note = note;
    this.measure = measure;
    this.tiles = Array.from({ length: PLACES }, () => new MomentTile(open));
    list.replaceChildren(...this.tiles.map((tile) => el("li", {}, tile.root)));
    this.show(null, null, "", 0, "");
  }

  /**
   * @param {import("./types.js").Panel | null} panel
   * @param {import("./channel.js").Answer | null} answer
   * @param {string} source
   * @param {number} since steps since memory was searched
   * @param {string} distance what it is measured in
   */
  show(panel, answer, source, since, distance) {
    const found = panel?.neighbours ?? [];
    const means = `${distance} ${SHARE}`;
    this.tiles.forEach((tile, i) => {
      const moment = found[i] ?? null;
      tile.show(moment, source, moment?.thumb && answer ? answer.image(moment.thumb) : null, means);
    });
    setText(this.note, this.#says(panel, found.length, since, answer?.header.step ?? 0));
    setText(this.measure, panel ? means : "");
  }

  /**
   * @param {import("./types.js").Panel | null} panel
   * @param {number} found
   * @param {number} since
   * @param {number} step
   */
  #says(panel, found, since, step) {
    if (!panel) return "Nothing has been dreamt yet.";
    if (!found) {
      return step === 0
        ? "The start is a recorded frame. Take a step."
        : "Memory holds nothing for this step: the frame stays.";
    }
    if (since <= 0) return "Found at this step.";
    return `Found ${since === 1 ? "one step" : `${since} steps`} ago, and followed since.`;
  }
}
