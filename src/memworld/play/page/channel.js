/** The live line to the server: questions as JSON, answers in binary, and a new try whenever it is lost. */

import { ServerError } from "./api.js";

/** The line went down before the answer came. */
export class LostConnection extends Error {}

/** An answer: its JSON, and the raw pictures behind it. */
export class Answer {
  /** @param {ArrayBuffer} buffer uint32 J, J bytes of JSON, then pictures back to back */
  constructor(buffer) {
    const length = new DataView(buffer).getUint32(0, true);
    this.header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
    this.bytes = new Uint8Array(buffer, 4 + length);
  }

  /**
   * A picture of it, as canvases take it.
   * @param {import("./types.js").Picture} picture
   */
  image({ offset, height, width, channels }) {
    const made = new ImageData(width, height);
    const to = made.data;
    const from = this.bytes.subarray(offset, offset + height * width * channels);
    const [green, blue] = channels === 1 ? [0, 0] : [1, 2];
    for (let i = 0, j = 0; j < to.length; i += channels, j += 4) {
      to[j] = from[i];
      to[j + 1] = from[i + green];
      to[j + 2] = from[i + blue];
      to[j + 3] = 255;
    }
    return made;
  }
}

const WAITS = [300, 700, 1500, 3000, 6000, 10000];
/** The server's way to end a session that nobody uses any more. */
const IDLE = 1000;

/**
 * A websocket that comes back by itself. Tells "open" when there is a line, "lost" with `detail` {reason, wait},
 * milliseconds until the next try, and "ended" with {reason} when the server has ended it for good.
 */
export class Channel extends EventTarget {
  /** @type {WebSocket | null} */
  #socket = null;
  /** @type {Map<number, {resolve: (answer: Answer) => void, reject: (error: Error) => void}>} */
  #asked = new Map();
  #n = 0;
  #reason = "";
  #tries = 0;
  /** @type {number | undefined} */
  #timer;

  get connected() {
    return this.#socket?.readyState === WebSocket.OPEN;
  }

  /** Connect, now. */
  connect() {
    clearTimeout(this.#timer);
    if (this.#socket) return;
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const socket = new WebSocket(`${scheme}://${location.host}/ws`);
    socket.binaryType = "arraybuffer";
    socket.onopen = () => this.dispatchEvent(new Event("open"));
    socket.onmessage = (event) => this.#hear(event.data);
    socket.onclose = (event) => this.#lose(event);
    this.#socket = socket;
  }

  /**
   * Ask, and wait for the answer.
   * @param {Record<string, unknown>} message
   * @returns {Promise<Answer>}
   */
  ask(message) {
    const n = ++this.#n;
    return new Promise((resolve, reject) => {
      if (!this.connected) return reject(new LostConnection("There is no connection to the server."));
      this.#asked.set(n, { resolve, reject });
      this.#socket?.send(JSON.stringify({ n, ...message }));
    });
  }

  /** @param {unknown} data */
  #hear(data) {
    if (!(data instanceof ArrayBuffer)) return;
    const answer = new Answer(data);
    const { n, ok, error, fatal } = answer.header;
    if (ok) this.#tries = 0;
    else if (fatal) this.#reason = error; // for which the line will go down, as when too many play
    const waiting = this.#asked.get(n);
    this.#asked.delete(n);
    if (ok) waiting?.resolve(answer);
    else waiting?.reject(new ServerError(error ?? "The server refused without a reason."));
  }

  /** @param {CloseEvent} event */
  #lose(event) {
    const reason = event.reason || this.#reason;
    this.#socket = null;
    this.#reason = "";
    for (const { reject } of this.#asked.values()) reject(new LostConnection("The connection was lost."));
    this.#asked.clear();
    if (event.code === IDLE) {
      this.dispatchEvent(new CustomEvent("ended", { detail: { reason } }));
      return;
    }
    const wait = WAITS[Math.min(this.#tries++, WAITS.length - 1)];
    this.#timer = window.setTimeout(() => this.connect(), wait);
    this.dispatchEvent(new CustomEvent("lost", { detail: { reason, wait } }));
  }
}
