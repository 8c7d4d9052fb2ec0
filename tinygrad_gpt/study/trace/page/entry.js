// One entry of an array: its exact number, the sums that give it and its gradient, and the numbers around it

const LARGEST = 12; // terms that are shown first
const MORE = 100;

const shapeOf = (place) =>
  place.inside === undefined ? values[place.value].stats.shape : (exact.sums[place.op].shapes[place.inside] ?? []);
const nameOf = (place) =>
  place.inside === undefined ? values[place.value].name : `${values[ops[place.op].output].name}:${place.inside}`;
const indexText = (index) => (index.length ? `[${index.join(", ")}]` : "");
const placeText = (place) => nameOf(place) + indexText(place.index);
const sameArray = (a, b) => a.value === b.value && a.op === b.op && a.inside === b.inside;
const samePlace = (a, b) => sameArray(a, b) && a.index.join() === b.index.join();

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

// "NAME[3, 5]" or "d NAME[3, 5]" as a place; a text that says what is wrong otherwise
function parsePlace(words) {
  const [, name, inside] = words.trim().match(/^(?:d )?(.*?)\s*(?:\[([^\]]*)\])?$/);
  const array = places.get(name) ?? places.get(values.find((v) => v.variable === name)?.name);
  if (!array) return `no array is called ${name}`;
  const index = inside ? inside.split(",").map((part) => (/^\s*\d+\s*$/.test(part) ? +part : NaN)) : [];
  const place = { ...array, index };
  const shape = shapeOf(place);
  if (inside === undefined) place.index = shape.map(() => 0);
  else if (!isInside(shape, index)) return `${name} has shape (${shape.join(", ")}): no entry [${inside}]`;
  return isInside(shape, place.index) ? place : `${name} has no entries`;
}

function open(place, push = true) {
  stop();
  const last = state.trail.findIndex((p) => samePlace(p, place));
  if (last >= 0) state.trail.length = last;
  else if (state.trail.length && sameArray(state.trail.at(-1), place)) state.trail.pop(); // a neighbour is no new step
  state.trail.push(place);
  state.place = place;
  const user = place.inside === undefined ? (values[place.value].op ?? ops.findIndex((op) => op.inputs.includes(place.value))) : place.op;
  if (events[state.event][1] !== user) mark(eventOf.forward.get(user) ?? state.event, true);
  entryView();
  try {
    if (push) history.pushState(null, "", `#entry=${encodeURIComponent(placeText(place))}`);
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
  const label = factor.form.replace("{}", `${factor.isGradient ? "d " : ""}${name}${indexText(factor.index)}`);
  const token = tokenOf(factor.place);
  const inside = [make("span", { class: "mono" }, label), token && make("small", {}, token), make("b", {}, number(factor.value))];
  const title = `${label} ${token} = ${exactText(factor.value, factor.dtype)}`;
  if (!factor.place) return make("span", { class: "factor", title }, inside);
  return make("button", { type: "button", class: "factor", title, onclick: () => open(factor.place) }, inside);
}

const signed = (x) => (x > 0 ? "+" : "") + (Number.isFinite(x) ? x.toExponential(5) : exactText(x));

// The sum of an entry; `computed` is what the op or its vjp gave, null if the page does not have it
function sumView(op, name, index, way, computed, dtype) {
  const sum = sumOf(op, name, index);
  const by = make("p", { class: "by" }, "by ", opLink(op, way), way === "backward" ? " backward: " : ": ");
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
          make("span", { class: "factors" }, term.factors.map((factor) => factorChip(op, factor))),
          term.way && make("small", { class: "soft" }, term.way),
        ),
      ),
    );
    const rest = sum.count - terms.length;
    if (rest > 0) {
      const left = exactSum([sum.total, ...terms.map((term) => -term.value)]);
      const more = make("button", { type: "button", class: "more" }, `the other ${rest.toLocaleString("en")} terms`);
      more.addEventListener("click", () => {
        limit += MORE;
        draw();
      });
      rows.push(make("tr", {}, make("td", { class: "n" }, signed(left)), make("td", {}, more)));
    }
    body.replaceChildren(...rows);
  };
  draw();
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
          apart === null ? (computed === sum.total ? ", equal" : "") : `, ${apart.toExponential(1)} of the terms apart`,
        ],
      ),
    ),
  );
  const table = make("table", { "data-total": exactText(sum.total, "float64"), "data-count": sum.count }, body, foot);
  return make("div", { class: "sum" }, by, table);
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
      array ? big(array, place.index, placeText(place)) : missingNumber(nameOf(place)),
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
    big(array, place.index, placeText(place)),
    value.op !== null && exact.sums[value.op]
      ? sumView(value.op, "y", place.index, "forward", computed, array.dtype)
      : make("p", { class: "soft" }, from ?? "Computed by ops within this one."),
  );
}

function gradientPart(place) {
  if (place.inside !== undefined) return null;
  const array = arrayOf(`${place.value}.gradient`),
    value = values[place.value];
  if (!value.gradient) return section("Gradient", make("p", { class: "soft" }, "It has no gradient: nothing asks for one."));
  if (!array) return section("Gradient", missingNumber(`d ${value.name}`));
  const parts = exact.received[place.value];
  return section(
    "Gradient",
    big(array, place.index, `d ${placeText(place)}`),
    !parts.length && make("p", {}, "Backward starts here, with dLoss/dLoss = 1."),
    parts.length > 1 && make("p", {}, `The sum of ${parts.length} parts, one from each op that used the value:`),
    parts.map((part) => {
      const sent = arrayOf(part.array);
      return sumView(part.op, `d${part.argument}`, place.index, "backward", sent && entryOf(sent, place.index), sent?.dtype);
    }),
  );
}

function numbersPart(place) {
  const isValue = place.inside === undefined,
    key = isValue ? `${place.value}` : `${place.op}:${place.inside}`;
  const sides = [["value", arrayOf(key)], ...(isValue && arrayOf(`${key}.gradient`) ? [["gradient", arrayOf(`${key}.gradient`)]] : [])];
  const [side, array] = sides.find(([name]) => name === state.side) ?? sides[0];
  if (!array?.shape.length) return null;
  const choose = (index) => {
    open({ ...place, index });
    at("detail").querySelector(".numbers")?.focus({ preventScroll: true });
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
            },
          },
          name,
        ),
      ),
    );
  const attention = array.shape.length === 4 && array.shape[2] === array.shape[3] ? squares(array, place, choose) : null;
  return section(
    "All numbers",
    make("div", { class: "tools left" }, tabs, sliceControls(array, place, choose)),
    attention,
    numberTable(array, place, choose),
  );
}

function trail() {
  if (state.trail.length < 2) return null;
  const shown = state.trail.slice(-8);
  return make(
    "nav",
    { class: "trail", "aria-label": "Entries on the way here" },
    shown.map((place, i) =>
      i === shown.length - 1
        ? make("span", { "aria-current": "true" }, placeText(place))
        : [make("button", { type: "button", onclick: () => open(place) }, placeText(place)), " › "],
    ),
  );
}

function gotoForm(place) {
  const input = make("input", { type: "text", "aria-label": "Entry", list: "arrays", spellcheck: "false", autocomplete: "off" });
  input.value = placeText(place);
  const wrong = make("span", { class: "bad", role: "alert" });
  const form = make("form", { class: "goto" }, input, make("button", {}, "Show"), wrong);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const found = parsePlace(input.value);
    typeof found === "string" ? (wrong.textContent = found) : open(found);
  });
  return form;
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
      make("p", { class: "where" }, inAxes(place) || "a single number", usesOf(place)),
      trail(),
      gotoForm(place),
      valuePart(place),
      gradientPart(place),
      numbersPart(place),
    ].filter(Boolean),
  );
  at("detail").hidden = false;
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
  open({ ...place, index });
  at("detail").querySelector(".numbers")?.focus({ preventScroll: true });
  return true;
}

// The arrays inside an op, each with a way to its numbers
function insideSection(i) {
  const names = Object.keys(exact.sums[i]?.shapes ?? {}).filter((name) => isWithin(i, name) && arrayOf(`${i}:${name}`));
  if (!names.length) return null;
  const attention = exact.sums[i].shapes.P?.length === 4 && arrayOf(`${i}:P`);
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
    attention && make("p", { class: "where" }, "P, the attention weights of row 0, by head; choose an entry:"),
    attention && squares(attention, { op: i, inside: "P", index: [0, 0, 0, 0] }, (index) => open({ op: i, inside: "P", index }), false),
  );
}

const numbersButton = (place, side) =>
  isInside(shapeOf(place), place.index) &&
  make(
    "button",
    {
      type: "button",
      class: "to-numbers",
      onclick: () => {
        state.side = side;
        open(place);
      },
    },
    "numbers",
  );
