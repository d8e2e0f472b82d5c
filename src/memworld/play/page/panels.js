/** The frames, large and sharp, side by side, with what is predicted below each. */

import { byId, el, setText } from "./dom.js";
import { choiceName, settingHelp } from "./explain.js";
import { known, percent, points, SUPPORTED } from "./words.js";

/** @typedef {import("./types.js").Panel} Shown */

class PanelView {
  /**
   * @param {"dream" | "real"} kind
   * @param {number} number of the dream
   * @param {string[]} strategies
   * @param {(strategy: string) => void} onstrategy
   */
  constructor(kind, number, strategies, onstrategy) {
    this.kind = kind;
    this.canvas = el("canvas", { class: "frame", role: "img", "aria-label": "no frame yet" });
    this.veil = el("p", { class: "veil", hidden: true });
    this.title = el("h3", {}, kind === "real" ? "The real world" : `Dream ${number + 1}`);
    const options = strategies.map((name) => el("option", { value: name, title: settingHelp("strategy", name, name) }, choiceName(name)));
    this.strategy = el("select", { "aria-label": `Strategy of dream ${number + 1}` }, ...options);
    this.strategy.addEventListener("change", () => onstrategy(this.strategy.value));
    this.bar = el("span", { class: "fill" });
    this.values = Object.fromEntries(["support", "reward", "total", "ends"].map((name) => [name, el("span", {}, "–")]));
    this.word = el("span", { class: "word" });
    this.why = el("span", { class: "unseen" });
    const meter = (/** @type {string} */ label, /** @type {string} */ name, /** @type {Node[]} */ ...more) =>
      el("div", { class: `meter ${name}` }, el("dt", {}, label), el("dd", {}, this.values[name], ...more));
    const bar = el("span", { class: "bar", "aria-hidden": "true" }, this.bar);
    this.support = meter("Support", "support", this.word, this.why, bar);
    const meters = [meter("Reward", "reward"), meter("Total", "total"), meter("Ends here", "ends")];
    this.root = el(
      "article",
      { class: "panel", "data-kind": kind, "aria-label": this.title.textContent },
      el(
        "header",
        {},
        this.title,
        ...(kind === "dream" ? [this.strategy] : [el("span", { class: "note" }, "same keys")]),
      ),
      el("div", { class: "well" }, this.canvas, this.veil),
      el("dl", { class: "meters" }, ...(kind === "dream" ? [this.support, ...meters] : meters.slice(0, 2))),
    );
    this.context = /** @type {CanvasRenderingContext2D} */ (this.canvas.getContext("2d"));
  }

  /**
   * @param {Shown} panel
   * @param {import("./channel.js").Answer} answer
   * @param {boolean} tell whether the words, too, may change: they are not read at 30 a second
   */
  show(panel, answer, tell) {
    const image = answer.image(panel.frame);
    if (this.canvas.width !== image.width || this.canvas.height !== image.height) {
      this.canvas.width = image.width;
      this.canvas.height = image.height;
    }
    this.context.putImageData(image, 0, 0);
    this.veil.hidden = !panel.over;
    if (panel.over) {
      const what = this.kind === "real" ? "The real episode" : "The dream";
      setText(this.veil, `${what} ended here. Reset begins again.`);
    }
    if (this.kind === "dream") {
      const support = panel.support ?? 0;
      this.bar.style.width = `${100 * support}%`;
      this.root.classList.toggle("unsupported", support >= SUPPORTED);
    }
    if (!tell) return;
    setText(this.values.support, panel.support == null ? "–" : panel.support.toFixed(2));
    setText(this.word, known(panel.support));
    setText(this.why, panel.no_support);
    this.support.title = panel.no_support;
    setText(this.values.reward, points(panel.reward));
    setText(this.values.total, points(panel.total));
    setText(this.values.ends, percent(panel.termination));
    const support = known(panel.support) || (answer.header.step ? "support not told" : "at its start");
    const says = this.kind === "real" ? "the real world" : `dream, ${support}`;
    this.canvas.setAttribute("aria-label", `${this.title.textContent}: ${says}, step ${answer.header.step}`);
  }
}

/** All panels on the stage. */
export class Panels {
  /** @type {PanelView[]} */
  #views = [];
  #told = -Infinity;
  /** @type {[number, number]} */
  #frame = [64, 64];

  /** @param {(dream: number, strategy: string) => void} onstrategy */
  constructor(onstrategy) {
    this.stage = byId("frames");
    this.onstrategy = onstrategy;
    new ResizeObserver(() => this.#fit()).observe(this.stage);
    window.addEventListener("resize", () => this.#fit());
  }

  /**
   * Set the stage, before anything is shown on it.
   * @param {[number, number]} frame height and width
   * @param {import("./types.js").Settings[]} dreams
   * @param {boolean} real
   * @param {string[]} strategies
   * @param {Set<number>} pending dreams whose settings are asked for, and do not hold yet
   */
  arrange(frame, dreams, real, strategies, pending) {
    const kinds = [...dreams.map(() => "dream"), ...(real ? ["real"] : [])];
    this.#frame = frame;
    if (kinds.join() !== this.#views.map((view) => view.kind).join()) {
      this.#views = kinds.map((kind, i) => {
        const view = new PanelView(/** @type {any} */ (kind), i, strategies, (name) => this.onstrategy(i, name));
        [view.canvas.height, view.canvas.width] = frame;
        return view;
      });
      this.stage.replaceChildren(...this.#views.map((view) => view.root));
    }
    dreams.forEach((settings, i) => {
      const { root, strategy } = this.#views[i];
      strategy.value = settings.strategy;
      const help = settingHelp("strategy", settings.strategy, settings.strategy);
      strategy.title = pending.has(i) ? `Asked for, and not ready yet. ${help}` : help;
      root.classList.toggle("pending", pending.has(i));
    });
    this.#fit();
  }

  /**
   * @param {import("./channel.js").Answer} answer
   * @param {boolean} still whether it stays for long enough to be read
   */
  show(answer, still) {
    const now = performance.now();
    const tell = still || now - this.#told > 120;
    if (tell) this.#told = now;
    /** @type {Shown[]} */
    const panels = answer.header.panels;
    panels.forEach((panel, i) => this.#views[i]?.show(panel, answer, tell));
  }

  /** Scale frames by the largest whole number of the screen's own pixels that fits. */
  #fit() {
    const [height, width] = this.#frame;
    const fine = window.devicePixelRatio || 1;
    // On a phone the buttons and names to play with are to be seen below it.
    const down = Math.max(220, window.innerHeight - (window.innerWidth <= 640 ? 510 : 350));
    const scaled = (/** @type {number} */ across) =>
      Math.max(1, Math.floor(Math.min(across / width, down / height) * fine)) / fine;
    const alone = scaled(this.stage.clientWidth - 2);
    for (const { root, canvas } of this.#views) {
      const scale = scaled(root.clientWidth);
      canvas.style.width = `${width * scale}px`;
      canvas.style.height = `${height * scale}px`;
      // As tall as that of a single panel, so that what lies below stays where it is when others come and go.
      /** @type {HTMLElement} */ (canvas.parentElement).style.minHeight = `${height * alone}px`;
    }
  }
}
