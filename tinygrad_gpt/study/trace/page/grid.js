// An array's exact numbers as a table, one slice of two axes at a time, and attention by head as squares

const CELLS = 4500; // cells of a table that is drawn whole
const WIDEST = 9; // digits of a float64 in a table; the title, and the entry itself, have all
const WINDOW = 60; // rows, and columns, of a part of a larger one

// Row and column of the slice that is shown: the last two axes; a vector is one row
const slice = (shape, index) => {
  const [rows, columns] = shape.length > 1 ? shape.slice(-2) : [1, shape[0] ?? 1];
  const [i, j] = shape.length > 1 ? index.slice(-2) : [0, index[0] ?? 0];
  return { rows, columns, i, j, outer: index.slice(0, -2) };
};

const READABLE = 40; // percent of a colour behind text
const tint = (x, largest, percent = READABLE) =>
  !largest || !Number.isFinite(x)
    ? ""
    : `background: color-mix(in srgb, var(${x < 0 ? "--low" : "--high"}) ${Math.round(percent * Math.sqrt(Math.abs(x) / largest))}%, transparent)`;

function range(size, at, whole) {
  if (whole || size <= WINDOW) return [0, size];
  const first = Math.max(0, Math.min(size - WINDOW, at - WINDOW / 2));
  return [first, first + WINDOW];
}

function largestOf(array) {
  array.largest ??= array.data.reduce((largest, x) => (Number.isFinite(x) ? Math.max(largest, Math.abs(x)) : largest), 0);
  return array.largest;
}

function indexOfLargest(array) {
  let best = 0;
  for (let n = 1; n < array.data.length; n++) if (isLarger(array.data[n], array.data[best])) best = n;
  return indexAt(array.shape, best);
}

// Calls `choose` with the index of a cell that is clicked
function chooseByClick(table, choose) {
  table.addEventListener("click", (event) => {
    const cell = event.target.closest("td");
    if (cell) choose(cell.dataset.index ? cell.dataset.index.split(",").map(Number) : []);
  });
}

// The table of an array around an entry; `choose` is called with the index of a cell that was clicked
function numberTable(array, place, choose) {
  const { rows, columns, i, j, outer } = slice(array.shape, place.index),
    axes = axesOf(place),
    whole = rows * columns <= CELLS;
  const [top, bottom] = range(rows, i, whole),
    [left, right] = range(columns, j, whole);
  const indexOf = (row, column) =>
    array.shape.length > 1 ? [...outer, row, column] : array.shape.length ? [column] : [];
  const rowAxis = array.shape.length - 2,
    columnAxis = array.shape.length - 1;
  const columnHead = (column) => {
    const token = columnAxis >= 0 ? tokenAt(axes, columnAxis, column, place.index) : "";
    return make("th", { scope: "col" }, String(column), token && make("small", {}, token));
  };
  const rowHead = (row) => {
    const token = rowAxis >= 0 ? tokenAt(axes, rowAxis, row, place.index) : "";
    const batchRow = place.index[axes.indexOf("row")];
    const target = token && axes[rowAxis] === "position" ? ` → ${tokenText(text.targets[batchRow][row])}` : "";
    return make("th", { scope: "row" }, rowAxis < 0 ? "" : String(row), token && make("small", {}, token + target));
  };
  const body = make("tbody", {});
  for (let row = top; row < bottom; row++) {
    const cells = [];
    for (let column = left; column < right; column++) {
      const x = entryOf(array, indexOf(row, column));
      cells.push(
        make(
          "td",
          {
            "data-index": indexOf(row, column).join(","),
            "aria-current": row === i && column === j ? "true" : null,
            style: tint(x, largestOf(array)) || null,
            title: array.dtype === "float64" ? exactText(x, array.dtype) : null,
          },
          array.dtype === "float64" ? exactText(+x.toPrecision(WIDEST), array.dtype) : exactText(x, array.dtype),
        ),
      );
    }
    body.append(make("tr", {}, rowHead(row), cells));
  }
  const heads = [];
  for (let column = left; column < right; column++) heads.push(columnHead(column));
  const corner = rowAxis < 0 ? axes[columnAxis] ?? "" : `${axes[rowAxis]} ↓ ${axes[columnAxis]} →`;
  const table = make("table", {}, make("thead", {}, make("tr", {}, make("th", {}, corner), heads)), body);
  chooseByClick(table, choose);
  const part =
    whole ? "" : `rows ${top} to ${bottom - 1} of ${rows}, columns ${left} to ${right - 1} of ${columns}; choose an entry to see others`;
  const region = make(
    "div",
    { class: "scrolls numbers", tabindex: "0", role: "region", "aria-label": "Numbers; arrow keys choose a neighbour" },
    table,
  );
  return make("div", {}, part && make("p", { class: "soft where" }, part), region);
}

// Selects the slice: one number for every axis before the last two
function sliceControls(array, place, choose) {
  const axes = axesOf(place);
  return array.shape.slice(0, -2).map((size, axis) =>
    make(
      "label",
      {},
      `${axes[axis]} `,
      make(
        "select",
        {
          onchange: (event) => {
            choose(place.index.map((i, a) => (a === axis ? +event.target.value : i)));
            at("detail").querySelectorAll("select")[axis].focus({ preventScroll: true }); // the page was drawn anew
          },
        },
        Array.from({ length: size }, (_, i) => make("option", { value: i, selected: i === place.index[axis] }, String(i))),
      ),
    ),
  );
}

// Scores of attention by head (B, H, T, T): a square for each head of one row of the batch
function squares(array, place, choose, marked = true) {
  const [, heads, T] = array.shape,
    [b, ...rest] = place.index;
  if (T > 64) return null;
  const axes = axesOf(place),
    label = (i) => tokenAt(axes, 2, i, place.index) || String(i);
  return make(
    "div",
    { class: "squares" },
    Array.from({ length: heads }, (_, h) => {
      const row = (query) => {
        const numbers = Array.from({ length: T }, (_, key) => entryOf(array, [b, h, query, key])),
          seen = numbers.filter((x) => Number.isFinite(x) && x !== 0),
          low = Math.min(...seen) > 0 ? 0.9 * Math.min(...seen) : 0; // so that weights that are close differ in colour
        const largest = seen.reduce((largest, x) => Math.max(largest, Math.abs(x - low)), 0);
        const cells = numbers.map((x, key) =>
          make("td", {
            "data-index": [b, h, query, key].join(","),
            title: `query ${query} ${label(query)}, key ${key} ${label(key)}: ${exactText(x, array.dtype)}`,
            class: Number.isFinite(x) ? null : "not-finite",
            "aria-current": marked && h === rest[0] && query === rest[1] && key === rest[2] ? "true" : null,
            style: (x && tint(x - low, largest, 90)) || null,
          }),
        );
        return make("tr", {}, make("th", { scope: "row" }, label(query)), cells);
      };
      const body = Array.from({ length: T }, (_, query) => row(query));
      const table = make(
        "table",
        { "aria-label": `Head ${h}` },
        make("thead", {}, make("tr", {}, make("th", {}), Array.from({ length: T }, (_, key) => make("th", { scope: "col" }, make("span", {}, label(key)))))),
        make("tbody", {}, body),
      );
      chooseByClick(table, choose);
      return make("figure", {}, make("figcaption", {}, `head ${h}: queries ↓, keys →; each row has its own scale`), table);
    }),
  );
}
