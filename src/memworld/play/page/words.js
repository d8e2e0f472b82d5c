/** Numbers, keys and names in words that people read. */

/**
 * A number of about three digits.
 * @param {number | null | undefined} value
 */
export function short(value) {
  if (value == null || !Number.isFinite(value)) return "–";
  const size = Math.abs(value) < 1e-6 ? 0 : Math.abs(value);
  if (size === 0) return "0";
  if (size >= 1e7 || size < 1e-3) return value.toExponential(1);
  if (size >= 1e4) return `${Math.round(value / 1e3).toLocaleString("en")}k`;
  if (Number.isInteger(value)) return String(value);
  return value.toFixed(size >= 100 ? 0 : size >= 10 ? 1 : 2);
}

/** A reward, of which a millionth is none. @param {number | null | undefined} value */
export function points(value) {
  if (value == null || !Number.isFinite(value)) return "–";
  return Math.abs(value) < 0.005 ? "0" : short(Math.abs(value) < 1e5 ? Number(value.toFixed(2)) : value);
}

/** @param {number} share in 0..1 */
export function percent(share) {
  return share > 0 && share < 0.01 ? "<1 %" : `${Math.round(100 * share)} %`;
}

/**
 * @param {number} count
 * @param {string} one the name of one
 */
export function counted(count, one) {
  return `${count.toLocaleString("en")} ${one}${count === 1 ? "" : "s"}`;
}

/** Which of an episode's steps. @param {number} step @param {number} steps of the episode */
export function stepOf(step, steps) {
  return `${step.toLocaleString("en")} of ${(steps - 1).toLocaleString("en")}`;
}

/**
 * What a source is called where there is little room: the end of its path, which tells more than its beginning.
 * @param {import("./types.js").Source} source
 */
export function shortTitle({ title }) {
  const parts = title.split("/").filter(Boolean);
  return parts.length > 3 ? `…/${parts.slice(-2).join("/")}` : title;
}

/** @param {number} bytes */
export function size(bytes) {
  if (bytes < 1e3) return `${bytes} B`;
  return bytes < 1e6 ? `${Math.round(bytes / 1e3)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}

/** Support from which memory hardly knows a situation: `SUPPORTED` of the library. */
export const SUPPORTED = 0.95;

/** @param {number | null} support */
export function known(support) {
  if (support == null) return "";
  if (support >= SUPPORTED) return "hardly known";
  return support < 0.5 ? "well known" : "known";
}

/** @type {Record<string, string>} */
const SETTING = {
  strategy: "Strategy",
  rule: "Aggregator",
  k: "Neighbours (k)",
  context: "Context",
  mode: "Mode",
  conditioning: "Conditioning",
  decoding: "Picture",
};

/** @param {string} setting */
export function settingName(setting) {
  return SETTING[setting] ?? setting;
}

/** @type {Record<string, [string, string]>} signs and words of keys whose code does not read well */
const KEY = {
  ArrowUp: ["↑", "up arrow"],
  ArrowDown: ["↓", "down arrow"],
  ArrowLeft: ["←", "left arrow"],
  ArrowRight: ["→", "right arrow"],
  Period: [".", "period"],
  Comma: [",", "comma"],
  Slash: ["/", "slash"],
  Semicolon: [";", "semicolon"],
  Quote: ["'", "quote"],
  Minus: ["-", "minus"],
  Equal: ["=", "equals"],
  BracketLeft: ["[", "left bracket"],
  BracketRight: ["]", "right bracket"],
  Backslash: ["\\", "backslash"],
  Backquote: ["`", "backquote"],
  ShiftLeft: ["⇧", "left shift"],
  ShiftRight: ["⇧ r", "right shift"],
  ControlLeft: ["Ctrl", "left control"],
  ControlRight: ["Ctrl r", "right control"],
  AltLeft: ["Alt", "left alt"],
  AltRight: ["Alt r", "right alt"],
  Enter: ["⏎", "enter"],
  Backspace: ["⌫", "backspace"],
};

/** @type {Map<string, string>} what the keys of this keyboard print, where the browser tells */
let printed = new Map();

/** Learn what is printed on the keys, so that KeyW reads "Z" on a French keyboard. */
export async function learnKeyboard() {
  const keyboard = /** @type {any} */ (navigator).keyboard;
  try {
    printed = (await keyboard?.getLayoutMap()) ?? printed;
  } catch {
    // A browser may refuse to tell; the names of the codes serve.
  }
}

/** @param {string} code @returns {[string, string]} sign and words */
function oneKey(code) {
  if (KEY[code]) return KEY[code];
  const shown = printed.get(code)?.toUpperCase() ?? code.replace(/^(Key|Digit)/, "").replace(/^Pad/, "Pad ");
  return [shown, shown];
}

/** What stands on a key. @param {string} code */
export function keySign(code) {
  return oneKey(code)[0];
}

/** @param {string[]} chords */
export function keyWords(chords) {
  if (!chords.length) return "no key";
  return chords
    .map((chord) =>
      chord
        .split("+")
        .map((code) => oneKey(code)[1])
        .join(" with "),
    )
    .join(", or ");
}

/**
 * Actions of a discrete world by their names.
 * @param {import("./types.js").Source} source
 * @param {import("./types.js").Episode} episode
 * @returns {Record<string, string>}
 */
export function actionNames(source, episode) {
  if (source.keys) return Object.fromEntries(source.keys.actions.map(({ value, label }) => [String(value), label]));
  return Object.fromEntries(episode.labels.map((label, value) => [String(value), label]));
}

/**
 * What was done at a recorded step.
 * @param {import("./types.js").Source} source
 * @param {import("./types.js").Episode} episode
 * @param {number} step
 */
export function actionText(source, episode, step) {
  const action = episode.actions[step];
  if (Array.isArray(action)) return action.map(short).join(", ");
  return actionNames(source, episode)[String(action)] ?? String(action ?? "–");
}
