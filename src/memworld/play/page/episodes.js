/** The table of episodes, sorted by any column. */

import * as api from "./api.js";
import { byId, el, setText } from "./dom.js";
import { Returns } from "./returns.js";
import { counted, short } from "./words.js";

/** @typedef {import("./types.js").Entry} Entry */

const PAGE = 500;
const MOST = 10000;
const UNREAD = "Known once the episode has been read, as when it is opened.";
/** @type {Record<string, string>} */
const END = { true: "ended", false: "cut off" };

/** @type {{name: string, label: string, title?: string, of: (entry: Entry) => string | number, text: (entry: Entry) => string}[]} */
const COLUMNS = [
  { name: "index", label: "#", title: "Its number, as addresses have it", of: (entry) => entry.index, text: (entry) => String(entry.index) },
  { name: "id", label: "Episode", of: (entry) => entry.id, text: (entry) => entry.id },
  { name: "steps", label: "Steps", of: (entry) => entry.steps, text: (entry) => entry.steps.toLocaleString("en") },
  { name: "return", label: "Return", of: (entry) => entry.return ?? -Infinity, text: (entry) => short(entry.return) },
  {
    name: "end",
    label: "End",
    of: (entry) => Number(entry.terminated ?? -1),
    text: (entry) => END[String(entry.terminated)] ?? "–",
  },
];

export class EpisodeTable {
  /** @type {Entry[]} */
  #entries = [];
  /** @type {Entry[]} as they were sorted last */
  #order = [];
  #total = 0;
  #sorted = { column: COLUMNS[0], down: false };
  #chosen = -1;
  #shown = PAGE;
  #source = "";

  /** @param {(index: number) => void} choose */
  constructor(choose) {
    this.choose = choose;
    this.body = byId("episodes-body");
    const heads = COLUMNS.map((column) => {
      const sort = () => this.#sort(column);
      const button = el("button", { type: "button", title: column.title, onclick: sort }, column.label);
      return el("th", { scope: "col", "data-column": column.name }, button);
    });
    byId("episodes-head").replaceChildren(...heads);
    this.scroll = byId("episodes-scroll");
    this.returns = new Returns(
      () => this.#unread(),
      (entry) => this.#learn(entry.index, entry.return, entry.terminated),
    );
    this.scroll.addEventListener("scroll", () => this.returns.go(this.#source), { passive: true });
    byId("episodes-more").addEventListener("click", () => {
      // Of thousands none is drawn anew.
      this.body.append(...this.#order.slice(this.#shown, this.#shown + PAGE).map((entry) => this.#row(entry)));
      this.#shown += PAGE;
      byId("episodes-more").hidden = this.#order.length <= this.#shown;
    });
  }

  /** @param {string} source */
  async load(source) {
    this.#source = source;
    this.#entries = [];
    this.#shown = PAGE;
    this.#chosen = -1;
    this.returns.clear();
    setText(byId("episodes-note"), "Reading…");
    this.#draw();
    do {
      const { total, episodes } = await api.episodes(source, this.#entries.length, PAGE);
      if (this.#source !== source) return;
      this.#total = total;
      this.#entries.push(...episodes);
      this.#draw();
      this.returns.go(source);
      if (!episodes.length) break;
    } while (this.#entries.length < Math.min(this.#total, MOST));
    const cut =
      this.#total > this.#entries.length ? ` The first ${this.#entries.length.toLocaleString("en")} are listed.` : "";
    setText(byId("episodes-note"), `${counted(this.#total, "episode")}.${cut}`);
  }

  /**
   * Mark an episode, and take in what is known of it: of some data sets only once it has been read.
   * @param {number} index
   * @param {import("./types.js").Episode | null} [episode]
   */
  mark(index, episode) {
    this.#chosen = index;
    const sum = episode?.rewards.reduce((sum, reward) => sum + reward, 0);
    if (episode) this.#learn(index, sum ?? null, episode.terminated);
    for (const row of this.body.children) this.#markRow(/** @type {HTMLElement} */ (row));
    this.#toChosen();
    this.returns.go(this.#source);
  }

  /**
   * Take in what is known of an episode now.
   * @param {number} index
   * @param {number | null} sum its return
   * @param {boolean | null} terminated
   */
  #learn(index, sum, terminated) {
    const entry = this.#entries.find((each) => each.index === index);
    if (!entry || entry.return != null) return;
    Object.assign(entry, { return: sum, terminated });
    const row = this.body.querySelector(`tr[data-index="${index}"]`);
    for (const name of ["return", "end"]) {
      const at = COLUMNS.findIndex((column) => column.name === name);
      if (!row) continue;
      setText(row.cells[at], COLUMNS[at].text(entry));
      row.cells[at].removeAttribute("title");
    }
  }

  /** The episodes in view of which not all is known. */
  #unread() {
    const [tall, top] = [this.body.rows[0]?.offsetHeight, this.scroll.scrollTop];
    if (!tall) return [];
    const on = this.#order.slice(Math.floor(top / tall), Math.ceil((top + this.scroll.clientHeight) / tall));
    return on.filter((entry) => entry.return == null).map((entry) => entry.index);
  }

  /** Scroll the table, and nothing else, to the chosen row. */
  #toChosen() {
    const row = /** @type {HTMLElement | null} */ (this.body.querySelector("tr.chosen"));
    if (!row) return;
    const head = byId("episodes-head").offsetHeight;
    const { scroll } = this;
    if (row.offsetTop < scroll.scrollTop + head) scroll.scrollTop = row.offsetTop - head;
    const below = row.offsetTop + row.offsetHeight - scroll.clientHeight;
    if (below > scroll.scrollTop) scroll.scrollTop = below;
  }

  /** @param {HTMLElement} row */
  #markRow(row) {
    const chosen = Number(row.dataset.index) === this.#chosen;
    row.classList.toggle("chosen", chosen);
    const button = row.querySelector("button");
    if (chosen) button?.setAttribute("aria-current", "true");
    else button?.removeAttribute("aria-current");
  }

  /** @param {typeof COLUMNS[0]} column */
  #sort(column) {
    this.#sorted = { column, down: this.#sorted.column === column ? !this.#sorted.down : column.name === "return" };
    this.#draw();
  }

  #draw() {
    const { column, down } = this.#sorted;
    for (const head of byId("episodes-head").children) {
      const by = head.dataset.column === column.name;
      if (by) head.setAttribute("aria-sort", down ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
    }
    const sign = down ? -1 : 1;
    this.#order = [...this.#entries].sort((a, b) => {
      const [x, y] = [column.of(a), column.of(b)];
      return sign * (x < y ? -1 : x > y ? 1 : 0) || a.index - b.index;
    });
    const focused = /** @type {HTMLElement | null} */ (document.activeElement?.closest("#episodes-body tr"));
    this.body.replaceChildren(...this.#order.slice(0, this.#shown).map((entry) => this.#row(entry)));
    // Whoever goes along the rows by the keyboard stays where they were.
    if (focused) this.body.querySelector(`tr[data-index="${focused.dataset.index}"] button`)?.focus();
    byId("episodes-more").hidden = this.#order.length <= this.#shown;
  }

  /** @param {Entry} entry */
  #row(entry) {
    const cells = COLUMNS.map((column) => {
      const unread = entry.return == null && (column.name === "return" || column.name === "end");
      if (column.name !== "id") return el("td", { title: unread ? UNREAD : null }, column.text(entry));
      const open = el("button", { type: "button", title: entry.id, onclick: () => this.choose(entry.index) }, entry.id);
      return el("td", {}, open);
    });
    const row = el("tr", { "data-index": entry.index }, ...cells);
    row.addEventListener("click", (/** @type {MouseEvent} */ event) => {
      if (!(event.target instanceof HTMLButtonElement)) this.choose(entry.index);
    });
    this.#markRow(row);
    return row;
  }
}
