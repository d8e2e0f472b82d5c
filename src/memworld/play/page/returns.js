/** What a data set tells of an episode only once it is read: fetched for the rows on screen, one after the other. */

import * as api from "./api.js";

/** Milliseconds: where two episodes in a row take longer to read, none is read for its row alone. */
const SLOW = 2000;
/** Milliseconds, at least, that are left to everybody else between two. */
const PAUSE = 40;

export class Returns {
  #run = 0;
  /** @type {Set<number>} */
  #asked = new Set();
  busy = false;

  /**
   * @param {() => number[]} wanted the episodes on screen of which not all is known
   * @param {(entry: import("./types.js").Entry) => void} take
   */
  constructor(wanted, take) {
    this.wanted = wanted;
    this.take = take;
  }

  /** Read for another source. */
  clear() {
    this.#run++;
    this.#asked.clear();
    this.busy = false;
  }

  /** Go on reading, if there is something to read and it is not being read. @param {string} source */
  async go(source) {
    if (this.busy) return;
    const run = this.#run;
    this.busy = true;
    let slow = 0;
    for (;;) {
      const [index] = this.wanted().filter((each) => !this.#asked.has(each));
      if (index === undefined) break;
      this.#asked.add(index); // whatever comes of it, it is asked for once
      const began = performance.now();
      const entry = await api.read(source, index).catch(() => null);
      if (run !== this.#run) return;
      if (entry) this.take(entry);
      const took = performance.now() - began;
      slow = took > SLOW ? slow + 1 : 0;
      if (slow === 2) return; // still busy: nothing more is read of this source
      await new Promise((done) => setTimeout(done, PAUSE + 2 * took));
      if (run !== this.#run) return;
    }
    this.busy = false;
  }
}
