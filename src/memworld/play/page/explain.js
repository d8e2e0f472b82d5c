/** What settings, distances and weights mean, a sentence each: shown on hovering, and described to screen readers. */

/** @type {Record<string, string>} */
const STRATEGY = {
  analogues: "Follows recorded moments that looked and moved as the present does, and carries on what differs.",
  hybrid: "Analogues, corrected by a small network that first learns from this memory for a minute or two.",
  rollout: "Looks up the nearest moment of every episode, by L2, and reads what followed.",
  replay_l2: "Looks up the nearest moments of all memory, by L2, and reads what followed.",
  replay_kl: "Looks up the nearest moments of all memory, by KL divergence, and reads what followed.",
};

/** @type {Record<string, string>} */
const SETTING = {
  rule: "How what followed the moments found becomes one prediction: their average, one of them, or a draw.",
  k: "How many recorded moments a search takes.",
  context: "How many moments a search compares, the present among them: with two or more it sees how things move.",
  mode: "Whether every step searches anew (requery), or what one search found is followed (follow), and left where another action was taken (reanchor).",
  conditioning:
    "Whether moments with another action than yours count: all alike (none), not at all (hard), as if further off (soft), or hard on choices and soft on numbers (mixed).",
};

/** @type {Record<string, [string, string]>} how predictions are shown: a name, and a sentence */
const PICTURE = {
  blend: [
    "decoded, still parts kept sharp",
    "The decoder's picture of the prediction, with the last frame seen kept where nothing moves: what moves fades where the moments found disagree.",
  ],
  decoder: [
    "decoded (blurs and fades where unsure)",
    "What the encoder's decoder makes of the prediction: blurred, and fading where the moments found disagree.",
  ],
  pieces: [
    "recorded pieces (sharp)",
    "The recorded pictures themselves, piece by piece the one with the largest weight: sharp, though pieces may not fit together.",
  ],
  frame: [
    "recorded frame (sharp)",
    "The recorded frame with the largest weight: sharp, though it need not be quite what is predicted.",
  ],
};

/** Whether a strategy is the library's own, which follows many moments, each for its part of the picture. @param {string} strategy */
export const follows = (strategy) => strategy === "analogues" || strategy === "hybrid";

/** @param {string} strategy @param {unknown} decoding */
function picture(strategy, decoding) {
  return PICTURE[decoding === "frame" && follows(strategy) ? "pieces" : String(decoding)];
}

/**
 * A choice in words: of pictures what they show; of others the library's own word, in plain letters.
 * @param {unknown} choice
 * @param {string} [setting]
 * @param {string} [strategy]
 */
export function choiceName(choice, setting = "", strategy = "") {
  const shown = setting === "decoding" ? picture(strategy, choice) : undefined;
  return shown ? shown[0] : String(choice).replaceAll("_", " ");
}

/**
 * What a setting does, as it is set.
 * @param {string} setting
 * @param {string} strategy
 * @param {unknown} value
 */
export function settingHelp(setting, strategy, value) {
  if (setting === "strategy") return STRATEGY[strategy] ?? "How the next step is found in memory.";
  if (setting === "decoding") return picture(strategy, value)?.[1] ?? "How a prediction is shown.";
  return SETTING[setting] ?? "";
}

/**
 * What the distance of a dream's moments is measured in.
 * @param {import("./types.js").Settings | undefined} settings
 */
export function distanceOf(settings) {
  if (!settings) return "";
  if (follows(settings.strategy))
    return "Distance: squared, between how two moments look and move, on this memory's own scale.";
  const what = settings.strategy === "replay_kl" ? "KL divergence of latents, in nats" : "squared L2 between latents";
  const moments = Number(settings.context) > 1 ? `, of ${settings.context} moments each` : "";
  return `Distance: ${what}${moments}.`;
}

/**
 * What the distance of a search is measured in.
 * @param {import("./types.js").Source} source
 */
export function searchDistance(source) {
  return source.kind === "memory"
    ? "Distance: KL divergence of latents, in nats."
    : "Distance: mean difference of a pixel, of 255, both seen at 16×16.";
}

export const SHARE = "Weight: its share in the prediction.";
export const RANK = "Weight: how near it is beside the others listed; together they are 100 %.";

/** @param {number[]} shape height and width */
const across = ([height, width]) => `${width}×${height}`;

/**
 * What a search has to say of what it found.
 * @param {import("./types.js").Source} source that was searched in
 * @param {import("./types.js").Found} seen
 * @param {(value: number) => string} short
 */
export function searchVerdict(source, { found, usual, unlike, resized }, short) {
  const size = across(source.frame);
  const says = [];
  if (unlike && found.length && usual != null)
    says.push(
      `Nothing recorded is like this: the nearest is at distance ${short(found[0].distance)}. Of recorded moments, 99 % have one of another episode within ${short(usual)}.`,
    );
  if (resized) {
    const bent = resized[0] * source.frame[1] !== resized[1] * source.frame[0] ? ", which changes its shape" : "";
    says.push(`The picture has ${across(resized)} pixels and was resized to ${size} for this${bent}.`);
  }
  return says.join(" ");
}
