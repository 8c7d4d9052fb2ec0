"use strict";
// Draws the trace in #data.  One program in several files: helpers and pictures (here), the model as boxes, exact numbers
// and their sums, the text, tables of numbers, places and the sums of one, the details of an event, and navigation.  The
// state is the event that is shown, and the entry that is looked at, if any.

const data = JSON.parse(document.getElementById("data").textContent);
const { ops, values } = data;
const events = data.events.map((event) => [event.way === "forward", event.op]);
const NARROW = "(max-width: 56rem)"; // where the details are a sheet over the model
const at = (id) => document.getElementById(id);
const state = {
  event: 0,
  open: {
    ...{ Value: true, Gradient: true, Formula: true, "Inside the op": true, "All numbers": true, "By head": true },
    ...{ "Spot checks": true, "Kept for backward": true },
  },
  theme: "auto",
  timer: null,
  place: null, // the entry that is looked at, see entry.js
  trail: [], // the entries on the way there
  side: "value",
};
const eventOf = { forward: new Map(), backward: new Map() };
events.forEach(([forward, op], i) => {
  const of = eventOf[forward ? "forward" : "backward"];
  if (!of.has(op)) of.set(op, i);
});

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(
    ...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false),
  );
  return element;
}

// A line may break after an underscore of a name
const breakable = (name) => name.split(/(?<=_)/).flatMap((part, i) => (i ? [make("wbr"), part] : [part]));

// Numbers

const shape = (stats) => (stats.shape.length ? stats.shape.join("×") : "scalar");
const number = (x) => {
  if (x === null) return "not finite";
  if (!Number.isFinite(x)) return exactText(x);
  if (x === 0) return "0";
  return Math.abs(x) >= 1e5 || Math.abs(x) < 1e-3 ? x.toExponential(2) : String(+x.toPrecision(4));
};
const bytes = (n) => (n < 10000 ? `${n} B` : n < 1e7 ? `${(n / 1000).toFixed(1)} kB` : `${(n / 1e6).toFixed(1)} MB`);
const lineName = (line) => `${line.file}:${line.number}`;
const micro = (s) => (s === null ? "" : s < 1e-3 ? `${(1e6 * s).toFixed(0)} µs` : `${(1000 * s).toFixed(2)} ms`);
function inWords(stats, gradient = false) {
  const { dtype, mean, std, rms, min, max, norm, n_bad: bad } = stats;
  if (/int|bool/.test(dtype)) return `${shape(stats)} ${dtype}`; // the mean of ids has no meaning
  if (!stats.shape.length) return `${number(mean)}, ${dtype}`;
  const spread = gradient ? `rms ${number(rms)}` : `deviation ${number(std)}`;
  const parts = [`${shape(stats)} ${dtype}`, `mean ${number(mean)}`, spread];
  parts.push(`from ${number(min)} to ${number(max)}`, `norm ${number(norm)}`);
  return (bad ? [...parts, `${bad} NOT FINITE`] : parts).join(", ");
}

// Heat maps

function colour(name) {
  // The variable itself is the text light-dark(...); an element's computed colour is one of the two.
  const probe = document.body.appendChild(make("i", { style: `color: var(${name})` }));
  const found = getComputedStyle(probe).color.match(/\d+/g).map(Number);
  probe.remove();
  return found;
}

// The entry that a cell shows: of several, the largest in absolute value
function entryInCell(array, map, i, j) {
  const [rows, columns, , , trueRows, trueColumns] = map;
  const first = (n, of, all) => n * Math.floor(all / of) + Math.min(n, all % of); // the first runs have one more
  let best = -1;
  for (let row = first(i, rows, trueRows); row < first(i + 1, rows, trueRows); row++)
    for (let column = first(j, columns, trueColumns); column < first(j + 1, columns, trueColumns); column++) {
      const n = row * trueColumns + column;
      if (best < 0 || isLarger(array.data[n], array.data[best])) best = n;
    }
  return indexAt(array.shape, best);
}

// `place` is the array's, for its exact numbers
function heatMap(map, stats, title, gradient = false, place = null) {
  if (!map || !stats.shape.length) return null;
  const [rows, columns, scale, text, trueRows, trueColumns] = map;
  const grid = Int8Array.from(atob(text), (c) => c.charCodeAt(0));
  const canvas = make("canvas", {
    role: "img",
    "aria-label": `${title}: ${inWords(stats, gradient)}`,
    width: columns,
    height: rows,
  });
  const cell = Math.max(2, Math.min(9, 300 / columns)); // pixels
  canvas.style.height = `${Math.min(260, Math.max(18, rows * cell))}px`;
  canvas.paint = () => {
    const low = colour("--low"),
      zero = colour("--zero"),
      high = colour("--high"),
      image = new ImageData(columns, rows);
    grid.forEach((q, i) => {
      const end = q < 0 ? low : high,
        share = Math.sqrt(Math.abs(q) / 127); // the root makes small ones visible
      for (let c = 0; c < 3; c++)
        image.data[4 * i + c] = q === -128 ? (c === 1 ? 0 : 255) : zero[c] + share * (end[c] - zero[c]);
      image.data[4 * i + 3] = 255;
    });
    canvas.getContext("2d").putImageData(image, 0, 0);
  };
  canvas.paint();
  const whole =
    rows === trueRows && columns === trueColumns
      ? `${trueRows} × ${trueColumns}`
      : `${trueRows} × ${trueColumns}, drawn as ${rows} × ${columns}`;
  const caption = make("span", {}, whole);
  const key = make(
    "span",
    { class: "key" },
    !(stats.min >= 0) && [make("i", { class: "low" }), `−${number(scale)}`],
    make("i", { class: "high" }),
    `+${number(scale)}`,
  );
  const array = place && arrayOf(`${place.value}${gradient ? ".gradient" : ""}`);
  const cellAt = (event) => {
    const edge = canvas.getBoundingClientRect();
    const within = (share, n) => Math.max(0, Math.min(n - 1, Math.floor(share * n)));
    const i = within((event.clientY - edge.top) / edge.height, rows);
    return [i, within((event.clientX - edge.left) / edge.width, columns)];
  };
  const point = (event) => {
    const [i, j] = cellAt(event);
    if (array) {
      const index = entryInCell(array, map, i, j);
      caption.textContent = `${indexText(index)}: ${exactText(entryOf(array, index), array.dtype)}`;
      return;
    }
    const q = grid[i * columns + j];
    const sign = Math.abs(q) < 127 ? "≈" : q < 0 ? "≤" : "≥"; // the last colour means this or more
    const entry = `row ${Math.floor((i * trueRows) / rows)}, column ${Math.floor((j * trueColumns) / columns)}`;
    caption.textContent = `${entry}: ${q === -128 ? "nan" : `${sign} ${number((q / 127) * scale)}`}`;
  };
  canvas.addEventListener("pointermove", point);
  canvas.addEventListener("pointerleave", () => {
    caption.textContent = whole;
  });
  if (array) {
    canvas.classList.add("exact");
    canvas.addEventListener("click", (event) => {
      open({ ...place, gradient, index: entryInCell(array, map, ...cellAt(event)) });
    });
  }
  return make("figure", {}, canvas, make("figcaption", {}, caption, key, place && numbersButtons(place, gradient ? "gradient" : "value")));
}
