/** The map of memory: recorded moments as points, the dreams' paths among them. */

import * as api from "./api.js";
import { dot, stroke } from "./charts.js";
import { colour, setText, sharp } from "./dom.js";
import { percent } from "./words.js";

const EDGE = 10;

export class MapView {
  /** @type {import("./types.js").MemoryMap | null} */
  #map = null;
  /** @type {[number, number][][]} */
  #paths = [];
  /** @type {HTMLCanvasElement | null} the points, drawn once for a size and a theme */
  #drawn = null;
  /** @type {number | null} the point that the keyboard or the mouse is on */
  #at = null;
  #source = "";
  #told = "";

  /**
   * @param {HTMLCanvasElement} canvas
   * @param {HTMLElement} caption
   * @param {(moment: import("./types.js").Moment) => void} open
   */
  constructor(canvas, caption, open) {
    this.canvas = canvas;
    this.caption = caption;
    this.open = open;
    canvas.addEventListener("click", (event) => {
      this.#at = this.#nearest(event.offsetX, event.offsetY);
      this.#openAt();
    });
    canvas.addEventListener("pointermove", (event) => this.#point(this.#nearest(event.offsetX, event.offsetY)));
    canvas.addEventListener("pointerleave", () => this.#point(null));
    canvas.addEventListener("blur", () => this.#point(null));
    canvas.addEventListener("keydown", (event) => this.#key(event));
    new ResizeObserver(() => this.repaint()).observe(canvas);
  }

  /**
   * Show the map of a memory.
   * @param {import("./types.js").Source} source
   */
  async load(source) {
    if (this.#source === source.name && this.#map) return;
    this.#source = source.name;
    this.#map = null;
    this.#paths = [];
    this.repaint();
    this.#tell(source.map ? "Drawing the map of memory…" : "This memory has no map.");
    if (!source.map) return;
    const map = await api.map(source.name);
    if (this.#source !== source.name) return;
    this.#map = map;
    this.#tell(this.#usual());
    this.repaint();
  }

  /** @param {[number, number][][]} paths one a dream */
  show(paths) {
    this.#paths = paths;
    this.#paint();
  }

  /** Draw all of it anew, as for another theme or size. */
  repaint() {
    this.#drawn = null;
    this.#paint();
  }

  #usual() {
    const shown = this.#map ? percent(this.#map.explained[0] + this.#map.explained[1]) : "";
    return `The two directions in which memory varies most (${shown} of it). Click a point to open that moment.`;
  }

  /** Places in the map's own numbers to pixels. */
  #scale() {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    const points = this.#map?.points ?? [];
    let [left, right, low, high] = [Infinity, -Infinity, Infinity, -Infinity];
    for (const [x, y] of points) {
      left = Math.min(left, x);
      right = Math.max(right, x);
      low = Math.min(low, y);
      high = Math.max(high, y);
    }
    const across = (width - 2 * EDGE) / (right - left || 1);
    const up = (height - 2 * EDGE) / (high - low || 1);
    const inside = (/** @type {number} */ at, /** @type {number} */ most) => Math.min(most - 3, Math.max(3, at));
    return (/** @type {[number, number]} */ [x, y]) => [
      inside(EDGE + (x - left) * across, width),
      inside(height - EDGE - (y - low) * up, height),
    ];
  }

  #paint() {
    const { context, width, height } = sharp(this.canvas);
    if (!this.#map || !width) return;
    const to = this.#scale();
    if (!this.#drawn) {
      this.#drawn = document.createElement("canvas");
      this.#drawn.width = this.canvas.width;
      this.#drawn.height = this.canvas.height;
      const points = /** @type {CanvasRenderingContext2D} */ (this.#drawn.getContext("2d"));
      points.scale(this.canvas.width / width, this.canvas.height / height);
      points.globalAlpha = 0.45;
      for (const point of this.#map.points) {
        const [x, y] = to(point);
        dot(points, x, y, 1.3, colour("--point"));
      }
    }
    context.drawImage(this.#drawn, 0, 0, width, height);
    this.#paths.forEach((path, i) => {
      const points = path.map(to);
      context.strokeStyle = colour(i === 0 ? "--accent" : "--text");
      context.setLineDash(i === 0 ? [] : [5, 3]);
      context.lineWidth = 1.5;
      context.lineJoin = "round";
      stroke(context, points);
      context.setLineDash([]);
      const last = points[points.length - 1];
      if (last) {
        dot(context, last[0], last[1], 5.5, colour("--surface"));
        dot(context, last[0], last[1], 4, colour(i === 0 ? "--accent" : "--text"));
      }
    });
    if (this.#at != null) {
      const [x, y] = to(this.#map.points[this.#at]);
      context.strokeStyle = colour("--text");
      context.lineWidth = 1.5;
      context.beginPath();
      context.arc(x, y, 6, 0, 2 * Math.PI);
      context.stroke();
    }
  }

  /** @param {number} x @param {number} y in pixels @returns {number | null} */
  #nearest(x, y) {
    if (!this.#map?.points.length) return null;
    const to = this.#scale();
    const far = this.#map.points.map((point) => Math.hypot(to(point)[0] - x, to(point)[1] - y));
    return far.indexOf(Math.min(...far));
  }

  /** @param {number | null} at */
  #point(at) {
    if (at === this.#at) return;
    this.#at = at;
    const row = at == null ? null : this.#map?.rows[at];
    this.#tell(
      row
        ? `Episode ${this.#map?.ids[/** @type {number} */ (at)]}, step ${row[1]}: click, or press Enter, to open it.`
        : this.#map
          ? this.#usual()
          : this.#told,
    );
    this.#paint();
  }

  #openAt() {
    const row = this.#at == null ? null : this.#map?.rows[this.#at];
    if (row) this.open({ episode: row[0], step: row[1] });
  }

  /** Arrow keys go to the nearest point in their direction. @param {KeyboardEvent} event */
  #key(event) {
    const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (!this.#map?.points.length) return;
    if (event.key === "Enter") this.#openAt();
    else if (way) this.#point(this.#beside(way));
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  /** @param {number[]} way @returns {number | null} */
  #beside([right, down]) {
    const to = this.#scale();
    const points = this.#map?.points ?? [];
    if (this.#at == null) {
      const path = this.#paths[0] ?? [];
      const last = path[path.length - 1];
      return last ? this.#nearest(.../** @type {[number, number]} */ (to(last))) : this.#nearest(0, 0);
    }
    const [x, y] = to(points[this.#at]);
    let [best, least] = [this.#at, Infinity];
    points.forEach((point, i) => {
      const [dx, dy] = [to(point)[0] - x, to(point)[1] - y];
      const ahead = dx * right + dy * down;
      const aside = Math.abs(dx * down + dy * right);
      if (ahead > 4 && ahead + 2 * aside < least) [best, least] = [i, ahead + 2 * aside];
    });
    return best;
  }

  /** @param {string} text */
  #tell(text) {
    this.#told = text;
    setText(this.caption, text);
  }
}
