/** The server's plain questions and answers. */

/** What the server, or the way to it, refused: one clear line. */
export class ServerError extends Error {}

/**
 * @param {string} path
 * @param {RequestInit} [options]
 * @returns {Promise<any>}
 */
async function ask(path, options) {
  let response;
  try {
    response = await fetch(path, options);
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new ServerError("The server does not answer: is memworld still running?");
  }
  const text = await response.text();
  let answer;
  try {
    answer = JSON.parse(text);
  } catch {
    throw new ServerError(`The server answered ${response.status} with something that is not JSON.`);
  }
  if (!response.ok) throw new ServerError(answer.error ?? `The server answered ${response.status}.`);
  return answer;
}

/** @param {string} source */
const base = (source) => `/api/sources/${encodeURIComponent(source)}`;

/** @returns {Promise<import("./types.js").About>} */
export const about = () => ask("/api/about");

/**
 * @param {string} source
 * @param {number} offset
 * @param {number} limit
 * @returns {Promise<{total: number, episodes: import("./types.js").Entry[]}>}
 */
export const episodes = (source, offset, limit) => ask(`${base(source)}/episodes?offset=${offset}&limit=${limit}`);

/**
 * One episode of the list, read if that is what it takes to tell all of it.
 * @param {string} source
 * @param {number} index
 * @returns {Promise<import("./types.js").Entry>}
 */
export const read = async (source, index) =>
  (await ask(`${base(source)}/episodes?offset=${index}&limit=1&read=1`)).episodes[0];

/** @type {Map<string, Promise<import("./types.js").Episode>>} the last few episodes that were asked for */
const kept = new Map();

/**
 * @param {string} source
 * @param {number} index
 * @returns {Promise<import("./types.js").Episode>}
 */
export function episode(source, index) {
  const path = `${base(source)}/episodes/${index}`;
  let found = kept.get(path);
  if (!found) {
    found = ask(path);
    found.catch(() => kept.delete(path));
    kept.set(path, found);
    if (kept.size > 8) kept.delete(/** @type {string} */ (kept.keys().next().value));
  }
  return found;
}

/**
 * The address of a recorded frame.
 * @param {string} source
 * @param {import("./types.js").Moment} moment
 */
export const frame = (source, { episode: index, step }) => `${base(source)}/episodes/${index}/frames/${step}`;

/**
 * The address of a film strip.
 * @param {string} source
 * @param {number} index
 * @param {number} count
 */
export const strip = (source, index, count) => `${base(source)}/episodes/${index}/strip?count=${count}`;

/** @param {string} source @returns {Promise<import("./types.js").MemoryMap>} */
export const map = (source) => ask(`${base(source)}/map`);

/**
 * Where something like this has been seen: a picture, or a recorded moment of any source.
 * @param {string} source the memory to search in
 * @param {Blob | import("./types.js").Moment & {source?: string}} what
 * @param {number} [count]
 * @returns {Promise<import("./types.js").Found>}
 */
export async function search(source, what, count = 12) {
  const path = `${base(source)}/search?count=${count}`;
  const options =
    what instanceof Blob
      ? { method: "POST", headers: { "Content-Type": "image/png" }, body: what }
      : { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(what) };
  return ask(path, options);
}

/** @returns {Promise<{recordings: import("./types.js").Recording[], folder: string}>} */
export const recordings = () => ask("/api/recordings");

/** @param {string} name */
export const recording = (name) => `/api/recordings/${encodeURIComponent(name)}`;

/**
 * Fetch a recorded frame's own bytes, to search by it in another source.
 * @param {string} source
 * @param {import("./types.js").Moment} moment
 */
export async function framePicture(source, moment) {
  const response = await fetch(frame(source, moment));
  if (!response.ok) throw new ServerError(`The frame could not be read: the server answered ${response.status}.`);
  return response.blob();
}
