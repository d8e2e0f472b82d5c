/** What has been shown so far. */

const REMEMBERED = 400;

/** What one panel has shown since the start: for the gauge and the path on the map. */
export class Trace {
  /** @param {number} late how many steps after the others it begins */
  constructor(late) {
    /** @type {(number | null)[]} */
    this.supports = new Array(late).fill(null);
  }

  /** @type {[number, number][]} */
  places = [];
  searched = 0;

  /** @param {import("./types.js").Panel} panel @param {number} step */
  add(panel, step) {
    this.supports.push(panel.support);
    if (panel.place) this.places.push(panel.place);
    if (panel.searched) this.searched = step;
    if (this.supports.length > REMEMBERED) this.supports.shift();
    if (this.places.length > REMEMBERED) this.places.shift();
  }
}
