// One entry of an array: its exact number, the sums that give it and its gradient, and the numbers around it

const LARGEST = 12; // terms that are shown first
const MORE = 100;
const STATIONS = 8; // of the way that are shown

const shapeOf = (place) =>
  place.inside === undefined ? values[place.value].stats.shape : (exact.sums[place.op].shapes[place.inside] ?? []);
const nameOf = (place) =>
  place.inside === undefined ? values[place.value].name : `${values[ops[place.op].output].name}:${place.inside}`;
const indexText = (index) => (index.length ? `[${index.join(", ")}]` : "");
const placeText = (place) => (place.gradient ? "d " : "") + nameOf(place) + indexText(place.index);
const sameArray = (a, b) => a.value === b.value && a.op === b.op && a.inside === b.inside;

// All arrays by name, those inside ops too
const places = new Map();
for (const [i, value] of values.entries()) if (!places.has(value.name)) places.set(value.name, { value: i });
for (const [op, sums] of exact.sums.entries())
  for (const inside of Object.keys(sums?.shapes ?? {}))
    if (isWithin(op, inside)) places.set(`${values[ops[op].output].name}:${inside}`, { op, inside });

// Whether an array with sums is inside its op: neither y nor the gradient of an argument
function isWithin(op, name) {
  return name !== "y" && !(name.startsWith("d") && name.slice(1) in exact.sums[op].arguments);
}

if (data.loss !== null && !places.has("loss")) places.set("loss", { value: data.loss });

// The array that a reader means: by its name, by its variable, or by the end of its name if that is the only one
function arrayNamed(words) {
  const name = words.replace("xhat", "x\u0302");
  const exactly = places.get(name) ?? places.get(values.find((v) => v.variable === name)?.name);
  if (exactly) return exactly;
  const names = [...places.keys()].filter((full) => full.endsWith(`.${name}`) || full.endsWith(`:${name}`));
  if (names.length === 1) return places.get(names[0]);
  if (!names.length) {
    const near = [...places.keys()].filter((full) => full.toLowerCase().includes(name.toLowerCase().replaceAll(" ", ""))).slice(0, 3);
    return `no array is called ${words}${near.length ? `; there are ${near.join(", ")}` : ""}`;
  }
  return `${words} may be ${names.slice(0, 4).join(", ")}${names.length > 4 ? ", ..." : ""}`;
}

// "NAME[3, 5]" or "d NAME[3, 5]" as a place; in place of a token's id there may be its text in quotes.  A text says what is wrong.
function parsePlace(words) {
  const { name, inside, gradient } = readPlace(words.trim());
  const array = arrayNamed(name);
  if (typeof array === "string") return array;
  const place = { ...array, gradient, index: [] };
  const shape = shapeOf(place);
  place.index = shape.map(() => 0);
  if (inside !== undefined) {
    const axes = axesOf(place),
      parts = inside.match(/\s*(?:('.*?'|".*?")(?=\s*(?:,|$))|[^,\s][^,]*)/gs) ?? []; // a quote ends before a comma
    const index = parts.map((part, axis) => numberOf(part.trim(), axes[axis], shape[axis]));
    if (!isInside(shape, index)) return `${name} has shape (${shape.join(", ")}): no entry [${inside}]`;
    place.index = index;
  }
  return isInside(shape, place.index) ? place : `${name} has no entries`;
}

// Name, text in brackets and side of "d NAME[3, 5]".  A name may begin with "d " and have brackets, and so may a token's text.
function readPlace(words) {
  const starts = words.endsWith("]") ? [...words.matchAll(/\[/g)].map((bracket) => bracket.index) : [];
  const sides = words.startsWith("d ") ? [false, true] : [false];
  const readings = [words.length, ...starts.toReversed()].flatMap((start) =>
    sides.map((gradient) => ({
      name: words.slice(gradient ? 2 : 0, start).trimEnd(),
      inside: start < words.length ? words.slice(start + 1, -1) : undefined,
      gradient,
    })),
  );
  return readings.find(({ name }) => typeof arrayNamed(name) !== "string") ?? readings.at(-1);
}

// An index: a number, from the end if it is negative, or a token's text, as it is or as the page shows it
function numberOf(part, axis, size) {
  if (/^-?\d+$/.test(part)) return +part < 0 ? size + +part : +part;
  const quoted = /^['"](.*)['"]$/s.exec(part);
  if (!quoted || axis !== "token id") return NaN;
  const tokens = Object.entries(text.vocabulary);
  const found = tokens.find(([, label]) => label === quoted[1]) ?? tokens.find(([, label]) => shown(label) === shown(quoted[1]));
  return found ? +found[0] : NaN;
}

// Shows an entry.  It is the next station of the way if one came to it by a factor, and begins a new way otherwise.
// With `stay` the table of numbers stays where it is on the screen; with `table` it is scrolled to.
function open(place, { next = false, trail = null, push = true, stay = false, table = false } = {}) {
  stop();
  const last = state.trail.at(-1),
    isNeighbour = next && last && sameArray(last, place) && !last.gradient === !place.gradient,
    before = at("detail").querySelector(".numbers")?.getBoundingClientRect().top;
  if (trail) state.trail = trail;
  else if (!next) state.trail = [];
  else if (isNeighbour) state.trail.pop();
  state.trail = [...state.trail, place];
  state.place = place;
  if (!stay) state.side = place.gradient ? "gradient" : "value";
  const user = place.inside === undefined ? (values[place.value].op ?? ops.findIndex((op) => op.inputs.includes(place.value))) : place.op;
  if (at(`op-${user}`)?.hidden) {
    at("search").value = "";
    search();
  }
  const way = place.gradient && eventOf.backward.has(user) ? "backward" : "forward";
  mark(eventOf[way].get(user) ?? state.event, true);
  entryView();
  const numbers = at("detail").querySelector(".numbers");
  if (numbers && stay && before !== undefined) at("detail").scrollTop += numbers.getBoundingClientRect().top - before;
  if (numbers && table) numbers.closest("details").scrollIntoView({ block: "start" });
  (stay ? numbers : at("detail"))?.focus({ preventScroll: true });
  try {
    const way = isNeighbour ? "replaceState" : "pushState"; // Back leaves the array at once, after any number of arrow keys
    const entry = { place, trail: state.trail.slice(0, -1) };
    if (push) history[way](entry, "", `#entry=${encodeURIComponent(placeText(place))}`);
  } catch {
    /* some viewers forbid it */
  }
}

const opLink = (op, way) => jump(op, way, [`op ${op} `, breakable(ops[op].name)]);

function factorChip(op, factor) {
  if (factor.place === null && factor.label) {
    const isNumber = /^-?[\d/]+$/.test(factor.label);
    return make("span", { class: "factor" }, factor.label, !isNumber && make("b", {}, number(factor.value)));
  }
  const name = factor.place ? nameOf(factor.place) : factor.name;
  const own = factor.form !== "{}" && arrayOf(keyOf(op, factor.name));
  const entry = own && isInside(own.shape, factor.index) ? ` = ${number(entryOf(own, factor.index))}` : "";
  const label = factor.form.replace("{}", `${factor.isGradient ? "d " : ""}${name}${indexText(factor.index)}${entry}`);
  const token = [partOf(factor.place), tokenOf(factor.place)].filter(Boolean).join(" ");
  const inside = [make("span", { class: "mono" }, label), token && make("small", {}, token), make("b", {}, number(factor.value))];
  const title = `${label} ${token} = ${exactText(factor.value, factor.dtype)}`;
  if (!factor.place) return make("span", { class: "factor", title }, inside);
  return make("button", { type: "button", class: "factor", title, "data-gradient": factor.isGradient || /^d./.test(factor.place.inside ?? "") || null, onclick: () => open({ ...factor.place, gradient: factor.isGradient }, { next: true }) }, inside);
}

const signed = (x) => (x > 0 ? "+" : "") + (Number.isFinite(x) ? x.toExponential(5) : exactText(x));

// The sum of an entry; `computed` is what the op or its vjp gave, null if the page does not have it
function sumView(op, name, index, way, computed, dtype) {
  const by = make("p", { class: "by" }, "by ", opLink(op, way), way === "backward" ? " backward: " : ": ");
  if (!exact.sums[op]) {
    const result = computed === null ? "" : `computed: ${exactText(computed, dtype)}; `;
    return make("div", { class: "sum" }, by, make("p", {}, `${result}this op has no rules, so there is no sum.`));
  }
  const sum = sumOf(op, name, index);
  if (!sum) return make("div", { class: "sum" }, by);
  if (sum.missing !== undefined) {
    const [key] = sum.missing.split("."),
      about = key.includes(":") ? key.replace(/^\d+:/, `${values[ops[op].output].name}:`) : values[+key].name;
    const words = `The numbers of ${about} are not in this page. `;
    return make("div", { class: "sum" }, by, make("p", {}, words, "Write the page with ", make("code", {}, "--full"), " to have them all."));
  }
  by.append(make("code", {}, sum.formula));
  const body = make("tbody", {});
  let limit = LARGEST;
  const draw = () => {
    const terms = sum.terms(limit);
    const rows = terms.map((term) =>
      make(
        "tr",
        {},
        make("td", { class: "n" }, signed(term.value)),
        make(
          "td",
          {},
          make("span", { class: "factors" }, term.factors.map((factor, i) => make("span", { class: "product" }, i > 0 && "· ", factorChip(op, factor)))),
          term.way && make("small", { class: "soft" }, term.way),
        ),
      ),
    );
    const rest = sum.count - terms.length;
    if (rest > 0) {
      const left = exactSum([sum.total, ...terms.map((term) => -term.value)]);
      const more = make("button", { type: "button", class: "more" }, rest === 1 ? "one more term" : `the other ${rest.toLocaleString("en")} terms`);
      more.addEventListener("click", () => {
        const seen = terms.length;
        limit += MORE;
        draw();
        (body.rows[seen]?.querySelector("button") ?? table.closest("section")).focus({ preventScroll: true }); // the old one is gone
      });
      rows.push(make("tr", {}, make("td", { class: "n" }, signed(left)), make("td", {}, more)));
    }
    body.replaceChildren(...rows);
  };
  draw();
  const ways = new Map(sum.ways.map((way) => [way, []]));
  for (const term of sum.terms(sum.count)) if (term.way) ways.set(term.way, [...(ways.get(term.way) ?? []), term.value]);
  const apart = computed === null || computed === sum.total || !Number.isFinite(computed) ? null : Math.abs(sum.total - computed) / sum.magnitude;
  const foot = make(
    "tfoot",
    {},
    make(
      "tr",
      {},
      make("td", { class: "n" }, signed(sum.total)),
      make(
        "td",
        {},
        sum.count === 0 ? "no terms: the sum is 0" : sum.count === 1 ? "the only term, in float64" : `the sum of ${sum.count.toLocaleString("en")} terms, in float64`,
        computed !== null && [
          `; computed: `,
          make("b", {}, exactText(computed, dtype)),
          apart === null ? (computed === sum.total ? ", equal" : "") : `, relative difference ${apart.toExponential(1)}`,
        ],
      ),
    ),
  );
  const table = make("table", { "data-total": exactText(sum.total, "float64"), "data-count": sum.count }, body, foot);
  for (const [way, terms] of ways) if (!terms.length) ways.delete(way);
  const byWay = ways.size > 1 && sum.count > 2 && [...ways].map(([way, terms]) => `${way} ${signed(exactSum(terms))}`).join(", ");
  return make("div", { class: "sum" }, by, byWay && make("p", { class: "soft" }, byWay), table);
}

function missingNumber(name) {
  return make("p", {}, `The numbers of ${name} are not in this page. Write it with `, make("code", {}, "--full"), " to have them all.");
}

function big(array, index, title) {
  const x = entryOf(array, index);
  return make(
    "p",
    { class: "big" },
    make("span", { class: "soft mono" }, `${title} = `),
    make("output", {}, exactText(x, array.dtype)),
    make("small", { class: "soft" }, ` ${array.dtype}`),
  );
}

function valuePart(place) {
  if (place.inside !== undefined) {
    const array = arrayOf(`${place.op}:${place.inside}`);
    return section(
      "Value",
      array ? big(array, place.index, nameOf(place) + indexText(place.index)) : missingNumber(nameOf(place)),
      sumView(place.op, place.inside, place.index, "forward", null),
    );
  }
  const value = values[place.value],
    array = arrayOf(`${place.value}`);
  if (!array) return section("Value", missingNumber(value.name));
  const computed = entryOf(array, place.index);
  const from = { leaf: "A parameter: no op computed it.", constant: "Given: no op computed it." }[value.kind];
  return section(
    "Value",
    big(array, place.index, nameOf(place) + indexText(place.index)),
    value.op !== null && (exact.sums[value.op] || !ops.some((op) => op.within === value.op))
      ? sumView(value.op, "y", place.index, "forward", computed, array.dtype)
      : make("p", { class: "soft" }, from ?? "Computed by ops within this one."),
  );
}

function gradientPart(place) {
  if (place.inside !== undefined) {
    const own = `d${place.inside}`,
      array = own in exact.sums[place.op].shapes && arrayOf(`${place.op}:${own}`);
    if (!array) return null;
    return section(
      "Gradient",
      big(array, place.index, `${nameOf({ ...place, inside: own })}${indexText(place.index)}`),
      sumView(place.op, own, place.index, "backward", null),
    );
  }
  const array = arrayOf(`${place.value}.gradient`),
    value = values[place.value];
  if (!value.gradient) return section("Gradient", make("p", { class: "soft" }, "It has none: it is a constant of the step, or nothing computed it."));
  if (!array) return section("Gradient", missingNumber(`d ${value.name}`));
  const parts = exact.received[place.value].map((part) => {
    const sent = arrayOf(part.array);
    return { ...part, dtype: sent?.dtype, sent: sent ? entryOf(sent, place.index) : null };
  });
  parts.sort((a, b) => Math.abs(b.sent ?? 0) - Math.abs(a.sent ?? 0));
  const summary = parts.map((part) => `${part.sent === null ? "a number that is not in this page" : signed(part.sent)} (op ${part.op} ${ops[part.op].name})`).join(", ");
  return section(
    "Gradient",
    big(array, place.index, `d ${nameOf(place)}${indexText(place.index)}`),
    !parts.length && make("p", {}, beganWith(value)),
    parts.length > 1 && make("p", {}, `The sum of one part from each op that used the value: ${summary}`),
    parts.map((part) => sumView(part.op, `d${part.argument}`, place.index, "backward", part.sent, part.dtype)),
  );
}

function numbersPart(place) {
  const isValue = place.inside === undefined,
    key = isValue ? `${place.value}` : `${place.op}:${place.inside}`;
  const sides = [["value", arrayOf(key)], ...(isValue && arrayOf(`${key}.gradient`) ? [["gradient", arrayOf(`${key}.gradient`)]] : [])];
  const [side, array] = sides.find(([name]) => name === state.side) ?? sides[0];
  if (!array?.shape.length) return null;
  const choose = (index) => {
    open({ ...place, index }, { next: true, stay: true });
  };
  const tabs =
    sides.length > 1 &&
    make(
      "span",
      { class: "ways", role: "group", "aria-label": "Which numbers" },
      sides.map(([name]) =>
        make(
          "button",
          {
            type: "button",
            "aria-pressed": String(name === side),
            onclick: () => {
              state.side = name;
              entryView();
              at("detail").querySelector(".ways [aria-pressed=true]").focus({ preventScroll: true });
            },
          },
          name,
        ),
      ),
    );
  const attention = isOfAttention(place) ? squares(array, place, choose) : null;
  return [
    section(
      "All numbers",
      make("div", { class: "tools left" }, tabs, sliceControls(array, place, choose)),
      numberTable(array, place, choose),
    ),
    attention && section("By head", attention),
  ];
}

// Whether an array is (B, H, T, T), inside an attention op or its mask; others may have such a shape by chance
function isOfAttention(place) {
  const of = place.inside === undefined ? ops.filter((op) => op.inputs.includes(place.value)) : [ops[place.op]];
  const { length, [2]: queries, [3]: keys } = shapeOf(place);
  return length === 4 && queries === keys && of.some((op) => op.name === "causal_attention");
}

function trail() {
  if (state.trail.length < 2) return null;
  const left = Math.max(0, state.trail.length - STATIONS); // out in the middle
  const shown = [...state.trail.keys()].filter((n) => n === 0 || n > left);
  return make(
    "nav",
    { class: "trail", "aria-label": "Entries on the way here" },
    shown.map((n) => {
      const place = state.trail[n];
      if (n === state.trail.length - 1) return make("span", { "aria-current": "true" }, placeText(place));
      return [make("button", { type: "button", onclick: () => open(place, { trail: state.trail.slice(0, n) }) }, placeText(place)), n === 0 && left ? " › … › " : " › "];
    }),
  );
}

// The op that made the array, and those that read it
function usesOf(place) {
  const maker = place.inside === undefined ? values[place.value].op : place.op;
  const readers = place.inside === undefined ? ops.flatMap((op, i) => (op.inputs.includes(place.value) ? [i] : [])) : [];
  return [
    maker !== null && [place.inside === undefined ? "; made by " : "; inside ", opLink(maker, "forward")],
    readers.length > 0 && ["; read by ", readers.map((i, n) => [n > 0 && ", ", opLink(i, "forward")])],
  ].filter(Boolean);
}

function entryView() {
  const place = state.place;
  at("detail").replaceChildren(
    ...[
      make(
        "div",
        { class: "title" },
        make("h2", { class: "mono" }, placeText(place)),
        make(
          "div",
          { class: "tools" },
          make("button", { type: "button", id: "to-op", onclick: () => show(state.event) }, "‹ op view"),
          make("button", { type: "button", id: "close", "aria-label": "Close", onclick: closeDetail }, "✕"),
        ),
      ),
      make("p", { class: "where" }, inAxes(place) || (place.value === data.loss ? "the loss, a single number" : "a single number"), usesOf(place)),
      trail(),
      ...(place.gradient ? [gradientPart(place), valuePart(place)] : [valuePart(place), gradientPart(place)]),
      numbersPart(place),
    ]
      .flat()
      .filter(Boolean),
  );
  at("detail").hidden = false;
  at("detail").classList.add("entry");
  at("detail").scrollTop = 0;
  for (const region of at("detail").querySelectorAll(".numbers"))
    region.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest", inline: "nearest" });
  at("detail").scrollTop = 0;
}

// Arrow keys in a table of numbers choose the neighbour
function moveEntry(key) {
  const by = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[key];
  if (!by || !state.place) return false;
  const place = state.place,
    index = [...place.index],
    n = index.length;
  if (n > 1) index[n - 2] += by[0];
  index[n - 1] += by[1];
  if (!isInside(shapeOf(place), index)) return true;
  open({ ...place, index }, { next: true, stay: true });
  return true;
}

// Keys 1 to 9 follow the n-th term: its factor that is a gradient, or the first
function followTerm(n) {
  const row = state.place && at("detail").querySelectorAll(".sum tbody tr")[n - 1];
  const chip = row && ([...row.querySelectorAll("button.factor")].find((b) => "gradient" in b.dataset) ?? row.querySelector("button.factor"));
  chip?.click();
}

// The attention weights of one row of the batch by head, and a choice of the row
function attentionOfRow(array, op) {
  const pictures = make("div", {});
  const draw = (row) =>
    pictures.replaceChildren(
      squares(array, { op, inside: "P", index: [row, 0, 0, 0] }, (index) => open({ op, inside: "P", index }), false) ?? "",
    );
  const options = Array.from({ length: array.shape[0] }, (_, row) => make("option", { value: row }, String(row)));
  const select = make("select", { onchange: (event) => draw(+event.target.value) }, options);
  draw(0);
  return make("div", {}, make("label", { class: "where" }, "P, the attention weights, by head; choose an entry. Row ", select), pictures);
}

// The arrays inside an op, each with a way to its numbers
function insideSection(i) {
  const names = Object.keys(exact.sums[i]?.shapes ?? {}).filter((name) => isWithin(i, name) && arrayOf(`${i}:${name}`)?.data.length);
  if (!names.length) return null;
  const attention = names.includes("P") && isOfAttention({ op: i, inside: "P" }) && arrayOf(`${i}:P`);
  return section(
    "Inside the op",
    make("p", { class: "where" }, "Arrays that no other op sees; choose one to see its numbers:"),
    make(
      "p",
      { class: "tools left" },
      names.map((name) => {
        const shape = exact.sums[i].shapes[name];
        const place = { op: i, inside: name, index: shape.map(() => 0) };
        return make("button", { type: "button", onclick: () => open(place) }, `${name} `, make("small", { class: "soft" }, shape.join("×")));
      }),
    ),
    attention && attentionOfRow(attention, i),
  );
}

// Ways to the numbers of an array: to the largest one, and to the table
function numbersButtons(place, side) {
  const array = arrayOf(`${place.value}${side === "gradient" ? ".gradient" : ""}`);
  if (!array || !array.data.length) return null;
  const show = (index, table) => () => open({ ...place, index, gradient: side === "gradient" }, { table });
  const of = `of ${side === "gradient" ? "d " : ""}${nameOf(place)}`;
  const button = (words, onclick) =>
    make("button", { type: "button", class: "to-numbers", "aria-label": `${words} ${of}`, onclick }, words);
  if (!array.shape.length) return button("why?", show([], false));
  const largest = indexOfLargest(array);
  const words = /int|bool/.test(array.dtype) ? null : button(`largest ${number(entryOf(array, largest))}`, show(largest, false));
  return make("span", {}, words, " ", button("numbers", show(place.index, true)));
}
