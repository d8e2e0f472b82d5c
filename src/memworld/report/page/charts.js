/**
 * Charts that are read out: by pointing at them, by touch, and by the arrow keys. The drawing and its numbers are on
 * the page already; this finds what is pointed at, marks it, says it, and hides the lines whose names are pressed.
 */

const SVG = "http://www.w3.org/2000/svg";

// ---------------------------------------------------------------- numbers, written as in the page's tables

const NONE = "–";
const decimalsOf = (value) => (value ? Math.min(9, Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value))))) : 0);
const write = (value, decimals = decimalsOf(value)) =>
  typeof value === "number" ? value.toFixed(decimals).replace("-", "−") : NONE;
const interval = (value, low, high) =>
  typeof low === "number" ? ` [${write(low, decimalsOf(value))}, ${write(high, decimalsOf(value))}]` : "";
const exact = (value) =>
  String(Number.isInteger(value) ? value : Number(value.toPrecision(5))).replace("-", "−");

/** Where a value lies in the drawing. */
function at({ ends, places, log }, value) {
  const [low, high, here] = [...ends, value].map(log ? Math.log : Number);
  return places[0] + ((here - low) / (high - low)) * (places[1] - places[0]);
}

const nearest = (distances) => distances.indexOf(Math.min(...distances));

// ---------------------------------------------------------------- kinds of charts
//
// To the reader each is a grid of points:
//   columns(), rows(column)  how many there are
//   find(x, y)               [column, row] of the one nearest to a place of the drawing
//   show(column, row)        what is read out: title, and lines of name, value, interval, css (its colour), chosen;
//                            and what is marked: path, and dots of x, y, css, chosen
//   table()                  all numbers: heads, then rows

/** Lines: a column is a place on the axis, its rows are the points there, from the top of the chart downwards. */
function lines({ series, x, y, across }, hidden) {
  series.forEach((line, i) => (line.x ??= series[i - 1].x));
  const points = series.flatMap((line) => line.x.flatMap((where, i) => {
    const [value, low, high] = [line.y[i], line.low?.[i], line.high?.[i]];
    return value === null ? [] : [{ line, where, value, low, high, px: at(x, where), py: at(y, value) }];
  }));
  const stopsOf = (seen) => [...Map.groupBy(seen, (point) => point.where)]
    .map(([where, here]) => ({ where, here: here.sort((a, b) => b.value - a.value) }))
    .sort((a, b) => a.where - b.where);
  const stops = () => stopsOf(points.filter((point) => !hidden.has(point.line.key)));
  return {
    columns: () => stops().length,
    rows: (column) => stops()[column].here.length,
    find(px, py) {
      const all = stops();
      const column = nearest(all.map(({ here }) => Math.abs(here[0].px - px)));
      return [column, nearest(all[column].here.map((point) => Math.abs(point.py - py)))];
    },
    show(column, row) {
      const { where, here } = stops()[column];
      const look = (point, i) => ({ css: point.line.css, chosen: i === row });
      return {
        title: `${across}: ${exact(where)}`,
        lines: here.map((point, i) => ({
          name: point.line.label,
          value: write(point.value),
          interval: interval(point.value, point.low, point.high),
          ...look(point, i),
        })),
        path: `M${here[0].px},${y.places[1]}V${y.places[0]}`,
        dots: here.map((point, i) => ({ x: point.px, y: point.py, ...look(point, i) })),
      };
    },
    table: () => [
      [across, ...series.map((line) => line.label)],
      ...stopsOf(points).map(({ where, here }) => [exact(where), ...series.map((line) => here
        .filter((point) => point.line === line)
        .map((point) => write(point.value) + interval(point.value, point.low, point.high))
        .join(", ") || NONE)]),
    ],
  };
}

/** Means with intervals: a single column of rows. */
function spreads({ rows, x }) {
  const behind = ({ values }) => values.map(exact).join(", ");
  return {
    columns: () => 1,
    rows: () => rows.length,
    find: (px, py) => [0, nearest(rows.map((row) => Math.abs(row.y - py)))],
    show(_, chosen) {
      const { label, mean, values, y, css } = rows[chosen];
      const of = values.length === 1 ? "1 episode" : `${values.length} episodes`;
      return {
        title: label,
        lines: [
          { name: "mean", value: write(mean[0]), interval: interval(...mean), css, chosen: true },
          { name: of, value: behind(rows[chosen]) },
        ],
        path: "",
        dots: [{ x: at(x, mean[0]), y, css, chosen: true }],
      };
    },
    table: () => [
      ["", "mean", "episodes"],
      ...rows.map((row) => [row.label, write(row.mean[0]) + interval(...row.mean), behind(row)]),
    ],
  };
}

/** A matrix. */
function heatmap({ labels, values, cells: [left, top, side] }) {
  const cell = (place) => Math.min(labels.length - 1, Math.max(0, Math.floor(place / side)));
  return {
    columns: () => labels.length,
    rows: () => labels.length,
    find: (px, py) => [cell(px - left), cell(py - top)],
    show: (column, row) => ({
      title: `${labels[row]} and ${labels[column]}`,
      lines: [{ name: "", value: write(values[row][column]), chosen: true }],
      path: `M${left + column * side},${top + row * side}h${side}v${side}h${-side}z`,
      dots: [],
    }),
    table: () => [["", ...labels], ...values.map((row, i) => [labels[i], ...row.map((value) => write(value))])],
  };
}

const KINDS = { lines, spreads, heatmap };

// ---------------------------------------------------------------- reading out

function drawn(name, attributes) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

/** Lets one point at a chart. `tell` says words to who does not see it. Gives what takes the read-out away. */
function readable(figure, hidden, tell) {
  const data = JSON.parse(figure.querySelector("script").textContent);
  const plot = figure.querySelector(".plot");
  const svg = plot.querySelector("svg");
  svg.querySelectorAll(".series").forEach((group, i) => ((data.series ?? data.rows)[i].css = group.style.color));
  const chart = KINDS[data.kind](data, hidden);
  const { width, height } = svg.viewBox.baseVal;
  const pointer = svg.appendChild(drawn("g", { class: "pointer" }));
  const readout = plot.appendChild(make("div", { className: "readout", hidden: true }));
  let chosen = null;

  function show(column, row, aloud) {
    chosen = [column, row];
    const { title, lines: read, path, dots } = chart.show(column, row);
    pointer.replaceChildren(
      drawn("path", { d: path }),
      ...dots.map((dot) => drawn("circle", { cx: dot.x, cy: dot.y, r: dot.chosen ? 5 : 3, style: `color:${dot.css}` })),
    );
    readout.replaceChildren(make("strong", {}, title), ...read.map((line) => {
      const key = make("i");
      key.style.color = line.css ?? "transparent";
      const value = make("span", {}, line.value, make("small", {}, line.interval ?? ""));
      return make("div", { className: line.chosen ? "chosen" : "" }, key, make("span", {}, line.name), value);
    }));
    readout.hidden = false;
    // Beside the chart where there is room, to its right before its left, or else below it: it covers none of it.
    const { left, right } = plot.getBoundingClientRect();
    const [wide, gap] = [readout.offsetWidth, 10];
    const after = right + gap + wide <= document.documentElement.clientWidth;
    const before = left - gap - wide >= 0;
    readout.style.left = `${after ? right - left + gap : before ? -gap - wide : 0}px`;
    readout.style.top = after || before ? "4px" : "100%";
    if (aloud) tell([title, ...read.map((line) => `${line.name} ${line.value}${line.interval ?? ""}`)].join("; "));
  }
  function hide() {
    chosen = null;
    readout.hidden = true;
    pointer.replaceChildren();
  }
  function point(event) {
    const box = svg.getBoundingClientRect();
    const [across, down] = [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
    if (chart.columns()) show(...chart.find(across * width, down * height));
  }
  function step(event) {
    const columns = chart.columns();
    const moves = { ...ARROWS, Home: [-columns, 0], End: [columns, 0] };
    if (event.key === "Escape") hide();
    if (!(event.key in moves) || !columns) return;
    event.preventDefault();
    const [column, row] = chosen ?? [0, 0];
    const to = Math.min(columns - 1, Math.max(0, column + moves[event.key][0]));
    show(to, Math.min(chart.rows(to) - 1, Math.max(0, row + moves[event.key][1])), true);
  }

  plot.tabIndex = 0;
  plot.setAttribute("role", "application");
  plot.setAttribute("aria-label", `Numbers of the chart: ${figure.querySelector("figcaption").textContent}`);
  plot.addEventListener("pointermove", point);
  plot.addEventListener("pointerdown", point);
  plot.addEventListener("pointerleave", (event) => {
    // A finger that is lifted has left too, and only then sees what it had covered.
    if (event.pointerType !== "touch" && document.activeElement !== plot) hide();
  });
  plot.addEventListener("focus", () => !chosen && chart.columns() && show(0, 0, true));
  plot.addEventListener("blur", hide);
  plot.addEventListener("keydown", step);
  figure.append(numbersOf(chart));
  return hide;
}

/** All numbers of a chart as a table, which is made when it is opened. */
function numbersOf(chart) {
  const held = make("details", { className: "all" }, make("summary", {}, "Numbers"));
  held.addEventListener("toggle", () => {
    if (held.querySelector("table")) return;
    const [heads, ...rows] = chart.table();
    const cells = (tag, texts, properties) => texts.map((text) => make(tag, properties, text));
    const body = rows.map(([head, ...rest]) =>
      make("tr", {}, make("th", { scope: "row" }, head), ...cells("td", rest, { className: "v" })));
    const top = make("thead", {}, make("tr", {}, ...cells("th", heads, { scope: "col", className: "v" })));
    const box = make("div", { className: "scroll", role: "group", ariaLabel: "Numbers of the chart" },
      make("table", { className: "numbers" }, top, make("tbody", {}, ...body)));
    held.append(box);
    boxes.observe(box);
  });
  return held;
}

/** Turns the names of a legend into buttons that hide and show their lines in every chart beside it. */
function legend(group, hidden, changed) {
  for (const entry of group.querySelectorAll(".legend li")) {
    const button = make("button", { type: "button", ariaPressed: "true" }, ...entry.childNodes);
    entry.append(button);
    button.addEventListener("click", () => {
      const key = Number(entry.dataset.key);
      const off = !hidden.has(key);
      if (off) hidden.add(key);
      else hidden.delete(key);
      button.ariaPressed = String(!off);
      group.querySelectorAll(`.series[data-key="${key}"]`).forEach((line) => line.classList.toggle("off", off));
      changed();
    });
  }
}

function readableCharts() {
  const spoken = document.body.appendChild(make("div", { className: "unseen", role: "status" }));
  const tell = (words) => (spoken.textContent = words);
  for (const held of document.querySelectorAll(".group, .chart:not(.group .chart)")) {
    const hidden = new Set();
    const figures = held.matches(".group") ? [...held.querySelectorAll(".chart")] : [held];
    const drawings = figures.filter((figure) => figure.querySelector("svg"));
    const hiders = drawings.map((figure) => readable(figure, hidden, tell));
    legend(held, hidden, () => hiders.forEach((hide) => hide()));
  }
  const hint = document.querySelector(".hint");
  if (hint) hint.hidden = false;
}
