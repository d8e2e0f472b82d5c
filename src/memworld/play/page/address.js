/** What the address bar remembers, so that a reload, a bookmark or a second tab shows the same. */

/**
 * @typedef {object} Place
 * @property {"play" | "browse"} [tab]
 * @property {string} [source]
 * @property {import("./types.js").Settings[]} dreams
 * @property {boolean} real
 * @property {number} [fps]
 * @property {import("./types.js").Moment | null} start where a reset goes
 * @property {import("./types.js").Moment | null} at where one looks, in the tab "Browse"
 */

/** @param {string | null} text @returns {import("./types.js").Moment | null} */
function readMoment(text) {
  const found = /^(\d{1,9})\.(\d{1,9})$/.exec(text ?? "");
  return found && { episode: Number(found[1]), step: Number(found[2]) };
}

/** @param {import("./types.js").Moment} moment */
const writeMoment = ({ episode, step }) => `${episode}.${step}`;

/** @param {string} text as in "strategy:replay_l2,k:5" @returns {import("./types.js").Settings} */
function readSettings(text) {
  const pairs = text.split(",").map((part) => part.split(":"));
  const read = pairs.filter((pair) => pair.length === 2);
  const given = Object.fromEntries(read.map(([name, value]) => [name, /^\d+$/.test(value) ? Number(value) : value]));
  return { strategy: "", ...given };
}

/** @returns {Place} */
export function readPlace() {
  const read = new URLSearchParams(location.hash.slice(1));
  const tab = read.get("tab");
  const fps = Number(read.get("fps"));
  return {
    tab: tab === "play" || tab === "browse" ? tab : undefined,
    source: read.get("source") ?? undefined,
    dreams: read.getAll("dream").slice(0, 2).map(readSettings),
    real: read.get("real") === "1",
    fps: fps >= 1 && fps <= 60 ? Math.round(fps) : undefined,
    start: readMoment(read.get("start")),
    at: readMoment(read.get("at")),
  };
}

/** @param {Place} place */
export function writePlace(place) {
  const write = new URLSearchParams();
  if (place.tab) write.set("tab", place.tab);
  if (place.source) write.set("source", place.source);
  for (const dream of place.dreams)
    write.append(
      "dream",
      Object.entries(dream)
        .map((pair) => pair.join(":"))
        .join(","),
    );
  if (place.real) write.set("real", "1");
  if (place.fps) write.set("fps", String(place.fps));
  if (place.start) write.set("start", writeMoment(place.start));
  if (place.at && place.tab === "browse") write.set("at", writeMoment(place.at));
  const query = new URLSearchParams(location.search);
  query.delete("token"); // it is in a cookie by now, and need not stay where shoulders and histories see it
  const search = query.size ? `?${query}` : "";
  history.replaceState(null, "", `${location.pathname}${search}#${write}`);
}
