/** How fast it is: frames drawn in a second, and how long a key takes to show. */

const SPAN = 2000;

export class Stats {
  /** @type {number[]} when frames were drawn, within the span */
  #drawn = [];
  /** @type {number[]} milliseconds from key press to drawn frame */
  #latencies = [];
  /** @type {number | null} */
  #first = null;
  #frames = 0;
  #last = 0;

  /**
   * A frame has been drawn.
   * @param {number} now
   * @param {number[]} pressed when the keys were pressed that it shows for the first time
   */
  drew(now, pressed) {
    this.#first ??= now;
    this.#last = now;
    this.#frames++;
    this.#drawn.push(now);
    while (this.#drawn[0] < now - SPAN) this.#drawn.shift();
    for (const then of pressed) this.#latencies.push(now - then);
    if (this.#latencies.length > 2000) this.#latencies.shift();
  }

  /** Forget what was measured. */
  clear() {
    this.#drawn = [];
    this.#latencies = [];
    this.#first = null;
    this.#frames = 0;
  }

  /** @param {number} share */
  #quantile(share) {
    if (!this.#latencies.length) return null;
    const sorted = [...this.#latencies].sort((a, b) => a - b);
    return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];
  }

  /** Frames a second of late, and over all; latencies in milliseconds. */
  read() {
    const now = performance.now();
    const late = this.#drawn.filter((time) => time > now - SPAN);
    const span = this.#first == null ? 0 : this.#last - this.#first;
    return {
      fps: late.length > 1 ? (1000 * (late.length - 1)) / (late[late.length - 1] - late[0]) : 0,
      overall: span > 0 ? (1000 * (this.#frames - 1)) / span : 0,
      frames: this.#frames,
      median: this.#quantile(0.5),
      p99: this.#quantile(0.99),
      presses: this.#latencies.length,
    };
  }
}
