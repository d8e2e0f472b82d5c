/** Small charts on canvases, in the colours of the theme. */

import { colour, sharp } from "./dom.js";
import { short, SUPPORTED } from "./words.js";

const FONT = "11px system-ui, sans-serif";
const LEFT = 34;
const RIGHT = 8;

/**
 * Support over time: one line a dream, and above the threshold what memory hardly knows.
 * @param {HTMLCanvasElement} canvas
 * @param {(number | null)[][]} lines one for each dream
 * @param {number} steps shown across
 */
export function drawSupport(canvas, lines, steps) {
  const { context, width, height } = sharp(canvas);
  const [top, bottom] = [6, height - 8];
  const y = (/** @type {number} */ support) => bottom - support * (bottom - top);
  context.fillStyle = colour("--warn-soft");
  context.fillRect(LEFT, y(1), width - LEFT - RIGHT, y(SUPPORTED) - y(1));
  context.font = FONT;
  context.textAlign = "right";
  context.textBaseline = "middle";
  context.lineWidth = 1;
  for (const mark of [0, 0.5, SUPPORTED]) {
    context.strokeStyle = colour(mark === SUPPORTED ? "--warn" : "--line");
    context.setLineDash(mark === SUPPORTED ? [4, 3] : []);
    stroke(context, [
      [LEFT, y(mark)],
      [width - RIGHT, y(mark)],
    ]);
    context.fillStyle = colour(mark === SUPPORTED ? "--warn" : "--muted");
    context.fillText(String(mark), LEFT - 6, Math.max(y(mark), 8));
  }
  const across = (width - LEFT - RIGHT) / Math.max(1, steps - 1);
  lines.forEach((line, i) => {
    const late = line.slice(-steps);
    const ink = colour(i === 0 ? "--accent" : "--text");
    context.strokeStyle = ink;
    context.setLineDash(i === 0 ? [] : [5, 3]);
    context.lineWidth = 2;
    const runs = unbroken(late).map((run) => run.map(({ t, support }) => [LEFT + t * across, y(support)]));
    for (const run of runs) stroke(context, run);
    context.setLineDash([]);
    for (const run of runs) if (run.length === 1) dot(context, run[0][0], run[0][1], 1.5, ink);
    const last = runs.at(-1)?.at(-1);
    if (last && late.at(-1) != null) dot(context, last[0], last[1], 3, ink);
  });
}

/**
 * The stretches of a line in which every step is known.
 * @param {(number | null)[]} line
 */
function unbroken(line) {
  /** @type {{t: number, support: number}[][]} */
  const runs = [];
  line.forEach((support, t) => {
    if (support == null) return;
    if (line[t - 1] == null || !runs.length) runs.push([]);
    runs[runs.length - 1].push({ t, support });
  });
  return runs;
}

/**
 * One lane of a curve over an episode.
 * @typedef {object} Lane
 * @property {string} label
 * @property {number[]} values one a step
 * @property {boolean} [stepped] drawn in steps, as actions are; else as bars from zero, as rewards are
 * @property {Record<string, string>} [names] of whole values
 */

/**
 * Curves over an episode, one lane below the other, with a line at the present step.
 * @param {HTMLCanvasElement} canvas
 * @param {Lane[]} lanes
 * @param {number} at the present step
 */
export function drawCurves(canvas, lanes, at) {
  const { context, width, height } = sharp(canvas);
  const steps = lanes[0]?.values.length ?? 0;
  if (!steps) return;
  const tall = height / lanes.length;
  const x = (/** @type {number} */ step) => curveX(step, steps, width);
  context.font = FONT;
  lanes.forEach((lane, i) => drawLane(context, lane, i * tall, tall, x, width));
  context.strokeStyle = colour("--text");
  context.lineWidth = 1;
  stroke(context, [
    [x(at), 0],
    [x(at), height],
  ]);
}

const CURVES_LEFT = 8;

/**
 * Where a step lies across.
 * @param {number} step
 * @param {number} steps
 * @param {number} width
 */
export function curveX(step, steps, width) {
  return CURVES_LEFT + (step / Math.max(1, steps - 1)) * (width - CURVES_LEFT - RIGHT);
}

/**
 * The step at a place across.
 * @param {number} x
 * @param {number} steps
 * @param {number} width
 */
export function curveStep(x, steps, width) {
  const share = (x - CURVES_LEFT) / (width - CURVES_LEFT - RIGHT);
  return Math.round(Math.min(1, Math.max(0, share)) * (steps - 1));
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {Lane} lane
 * @param {number} top
 * @param {number} tall
 * @param {(step: number) => number} x
 * @param {number} width
 */
function drawLane(context, lane, top, tall, x, width) {
  const values = lane.values;
  let low = values.reduce((a, b) => Math.min(a, b), lane.stepped ? Infinity : 0);
  let high = values.reduce((a, b) => Math.max(a, b), lane.stepped ? -Infinity : 0);
  const said = `${lane.label}   ${name(lane, low)} … ${name(lane, high)}`;
  if (low === high) [low, high] = [low - 1, high + 1];
  const [from, to] = [top + tall - 7, top + 20];
  const y = (/** @type {number} */ value) => from - ((value - low) / (high - low)) * (from - to);
  context.textAlign = "left";
  context.textBaseline = "top";
  context.fillStyle = colour("--muted");
  context.fillText(said, CURVES_LEFT, top + 4, width - CURVES_LEFT - RIGHT);
  context.strokeStyle = colour("--line");
  context.lineWidth = 1;
  stroke(context, [
    [CURVES_LEFT, from + 6],
    [width - RIGHT, from + 6],
  ]);
  context.strokeStyle = colour("--accent");
  context.lineWidth = 1.5;
  if (lane.stepped) {
    stroke(
      context,
      values.flatMap((value, t) => [
        [x(t), y(value)],
        [x(Math.min(t + 1, values.length - 1)), y(value)],
      ]),
    );
  } else {
    values.forEach(
      (value, t) =>
        value !== 0 &&
        stroke(context, [
          [x(t), y(0)],
          [x(t), y(value)],
        ]),
    );
    context.strokeStyle = colour("--muted");
    stroke(context, [
      [CURVES_LEFT, y(0)],
      [width - RIGHT, y(0)],
    ]);
  }
}

/** @param {Lane} lane @param {number} value */
const name = (lane, value) => lane.names?.[String(value)] ?? short(value);

/** @param {CanvasRenderingContext2D} context @param {number[][]} points */
export function stroke(context, points) {
  context.beginPath();
  for (const [x, y] of points) context.lineTo(x, y);
  context.stroke();
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {number} x
 * @param {number} y
 * @param {number} radius
 * @param {string} fill
 */
export function dot(context, x, y, radius, fill) {
  context.fillStyle = fill;
  context.beginPath();
  context.arc(x, y, radius, 0, 2 * Math.PI);
  context.fill();
}
