// One entry of an array: its exact number, the sums that give it and its gradient, and the numbers around it

const STATIONS = 8; // of the way that are shown

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
    key = keyOfPlace(place);
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
