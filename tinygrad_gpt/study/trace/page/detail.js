// The details of an event

const SMALL = 16; // entries of an array that is written out

function section(title, ...children) {
  const inside = children.flat().filter(Boolean);
  if (!inside.length) return null;
  const element = make("details", { open: Boolean(state.open[title]) }, make("summary", {}, title), ...inside);
  element.addEventListener("toggle", () => {
    state.open[title] = element.open;
  });
  return element;
}

function jump(op, way, text) {
  const event = eventOf[way].get(op);
  return event === undefined
    ? make("span", {}, text)
    : make("button", { type: "button", onclick: () => show(event, true) }, text);
}

const placeOfValue = (v) => ({ value: v, index: values[v].stats.shape.map(() => 0) });

// A value, or its gradient: in words, written out if it is small, and as a heat map
function card(title, v, gradient, ...more) {
  const value = values[v],
    stats = gradient ? value.gradient : value.stats,
    array = arrayOf(gradient ? `${v}.gradient` : `${v}`);
  const small = array && array.data.length <= SMALL && array.data.length > 0;
  return make(
    "div",
    { class: "card" },
    make("h3", {}, title),
    make("p", {}, inWords(stats, gradient)),
    small && make("p", { class: "mono" }, [...array.data].map((x) => exactText(x, array.dtype)).join("  ")),
    !stats.shape.length && numbersButtons(placeOfValue(v), gradient ? "gradient" : "value"),
    ...more,
    heatMap(
      gradient ? value.gradient_map : value.map,
      stats,
      title instanceof Node ? title.textContent : title,
      gradient,
      placeOfValue(v),
    ),
  );
}

const named = (v) => (v.op === null ? make("span", { class: "mono" }, v.name) : jump(v.op, "forward", v.name));

function valueSection(op) {
  const output = values[op.output],
    settings = Object.entries(op.settings)
      .map(([name, value]) => `${name} = ${value}`)
      .join(", ");
  return section(
    "Value",
    settings && make("p", { class: "where" }, "with ", make("code", {}, settings)),
    make(
      "div",
      { class: "cards" },
      card("out", op.output, false),
      op.inputs.map((v, slot) =>
        card(
          make("span", {}, `in ${slot}: `, named(values[v])),
          v,
          false,
          !op.wanted[slot] && make("p", {}, "needs no gradient"),
        ),
      ),
    ),
  );
}

// A table; each cell is [content, class]
const table = (heads, rows, attributes = {}) =>
  make(
    "table",
    attributes,
    heads && make("thead", {}, make("tr", {}, heads.map(([head, kind]) => make("th", { scope: "col", class: kind }, head)))),
    make(
      "tbody",
      {},
      rows.map((cells) =>
        make(
          "tr",
          {},
          cells.map(([cell, kind], i) => make("td", { class: kind, "data-head": heads?.[i][0] }, cell)),
        ),
      ),
    ),
  );

function terms(value, here) {
  const largest = Math.max(...value.terms.map((t) => t.sum.norm ?? 0));
  const share = (sum) => {
    const bar = make("span", { class: "share" });
    bar.style.width = `${largest ? (100 * (sum ?? 0)) / largest : 0}%`;
    return bar;
  };
  return table(
    [["term"], ["from\u00a0the vjp\u00a0of"], ["norm", "n"], ["norm\u00a0of the\u00a0sum", "n"]],
    value.terms.map((term, i) => [
      [`${i + 1}${term.op === here ? " ←" : ""}`, "whole"],
      [jump(term.op, "backward", [`${term.op} `, breakable(ops[term.op].name)])],
      [number(term.stats.norm), "n"],
      [[number(term.sum.norm), share(term.sum.norm)], "n"],
    ]),
  );
}

const beganWith = ({ gradient: { shape, mean } }) =>
  `Backward starts here, with ${shape.length || mean !== 1 ? "the gradient that it was given" : "dLoss/dLoss = 1"}.`;

function gradientSection(op, i) {
  const output = values[op.output];
  if (!output.gradient) return section("Gradient", make("p", {}, "No gradient arrived here."));
  const arrived = card(
    "arrives: dy",
    op.output,
    true,
    output.terms.length ? terms(output, -1) : make("p", {}, beganWith(output)),
  );
  const sent = op.inputs.map((v, slot) => {
    const value = values[v],
      n = value.terms.findIndex((t) => t.op === i && t.slot === slot);
    if (!op.wanted[slot] || n < 0) return null;
    const term = value.terms[n],
      count = value.terms.length;
    const about =
      count === 1
        ? [make("p", {}, "the only term of its gradient:"), make("p", {}, inWords(term.stats, true))]
        : [
            make("p", {}, `term ${n + 1} of ${count}: ${inWords(term.stats, true)}`),
            terms(value, i),
            make("p", {}, `the sum of all ${count}: ${inWords(value.gradient, true)}`),
          ];
    return make(
      "div",
      { class: "card" },
      make("h3", {}, make("span", {}, `to in ${slot}: `, named(value))),
      about,
      heatMap(value.gradient_map, value.gradient, `gradient of ${value.name}`, true, placeOfValue(v)),
    );
  });
  return section("Gradient", make("div", { class: "cards" }, arrived, sent));
}

function checksSection(op) {
  const rows = [op.output, ...op.inputs.filter((v) => values[v].kind === "leaf")].flatMap((v) =>
    data.checks.filter((check) => check.value === v).map((check) => [values[v], check]),
  );
  if (!rows.length) return null;
  const digits = (n) => (n === null ? "not finite" : n === 0 ? "0" : n.toPrecision(7));
  return section(
    "Spot checks",
    data.note && make("p", { class: "soft where" }, data.note),
    table(
      [["number"], ["is", "n"], ["gradient", "n"], ["by differences", "n"], ["apart", "n"]],
      rows.map(([value, { index, at: x, analytic, numeric, difference }]) => [
        [`${value.name}[${index.join(", ")}]`, "name mono"],
        ...[x, analytic, numeric].map((n) => [digits(n), "n"]),
        [
          difference === null ? "not finite" : difference.toExponential(1),
          difference !== null && difference < 1e-3 ? "n good" : "n bad",
        ],
      ]),
      { class: "stacks" },
    ),
  );
}

function keptSection(op) {
  if (!op.kept.length) return section("Kept for backward", make("p", {}, "Nothing but shapes."));
  const whose = (kept) =>
    kept.owner === null
      ? "made for backward only"
      : values[kept.owner].kind === "output"
        ? make("span", {}, "shared: ", named(values[kept.owner]))
        : `shared: ${values[kept.owner].name}`;
  return section(
    "Kept for backward",
    make("p", { class: "where" }, `${bytes(op.kept_bytes)} in memory until the vjp has run`),
    table(
      null,
      op.kept.map((kept) => [
        [kept.name, "name mono"],
        [kept.shape.join("×") || "scalar", "whole"],
        [bytes(kept.bytes), "n"],
        [whose(kept), "name"],
      ]),
    ),
    make(
      "div",
      { class: "cards" },
      op.kept.map(
        (kept, i) =>
          op.kept_maps[i] &&
          make(
            "div",
            { class: "card" },
            make("h3", { class: "mono" }, kept.name),
            heatMap(op.kept_maps[i], { shape: kept.shape, dtype: "", mean: null, std: null, min: null, max: null, norm: null }, kept.name),
          ),
      ),
    ),
  );
}

function coded(text) {
  const pre = make("pre", { tabindex: "0" });
  const words = "def return if else elif for in is not and or None True False lambda raise with as while yield";
  const pattern = new RegExp(`("""[^]*?"""|"[^"\\n]*"|'[^'\\n]*')|(#.*)|\\b(${words.replaceAll(" ", "|")})\\b`, "g");
  let last = 0;
  for (const match of text.matchAll(pattern)) {
    pre.append(text.slice(last, match.index), make("span", { class: match[1] ? "s" : match[2] ? "c" : "k" }, match[0]));
    last = match.index + match[0].length;
  }
  pre.append(text.slice(last));
  return pre;
}

function codeSection(op) {
  const piece = (title, source) =>
    source.text && [
      make("p", { class: "where" }, `${title}, `, make("code", {}, `${source.file}:${source.line}`)),
      coded(source.text),
    ];
  return section(
    "Code",
    piece("The op", data.about[op.name].code),
    op.kernel &&
      data.kernels[op.kernel] &&
      piece("What ran here, a kernel for this op", data.kernels[op.kernel]),
  );
}

function about(title, html) {
  const text = make("div", { class: "about" });
  text.innerHTML = html; // made and escaped by the program that wrote this page
  return text.childNodes.length ? section(title, text) : null;
}

function whereSection(op) {
  if (!op.lines.length) return null;
  const [line, ...outer] = op.lines.map((line) => {
    const caller = /^\w+$/.test(line.function) ? `${line.function}()` : line.function;
    return make("div", { class: "where" }, make("code", {}, lineName(line)), ` in ${caller}  `, make("code", {}, line.text));
  });
  return outer.length ? make("div", {}, line, section("Called from", outer)) : line;
}

function detail() {
  const [forward, i] = events[state.event],
    op = ops[i],
    way = (name) =>
      make(
        "button",
        {
          type: "button",
          "aria-pressed": String(forward === (name === "forward")),
          disabled: !eventOf[name].has(i),
          onclick: () => show(eventOf[name].get(i)),
        },
        name === "forward" ? "forward ↓" : "backward ↑",
      );
  const formula = about("Formula", data.about[op.name].formulas),
    derivation = about("Derivation", data.about[op.name].derivation);
  const value = valueSection(op),
    gradient = gradientSection(op, i),
    kept = keptSection(op),
    inside = insideSection(i),
    checks = checksSection(op);
  const parts = forward ? [formula, value, inside, kept, gradient, checks] : [formula, gradient, inside, checks, kept, value];
  const time = forward ? `${micro(op.seconds)} forward` : `${micro(op.vjp_seconds)} backward`;
  at("detail").replaceChildren(
    make(
      "div",
      { class: "title" },
      make("h2", {}, `${i} ${op.name}`, make("small", {}, `${op.scope || "the model itself"}, ${time}`)),
      make(
        "div",
        { class: "tools" },
        make("div", { class: "ways", role: "group", "aria-label": "Way" }, way("forward"), way("backward")),
        make("button", { type: "button", id: "close", "aria-label": "Close", onclick: closeDetail }, "✕"),
      ),
    ),
    data.about[op.name].rule &&
      make("p", { class: "rule" }, make("span", { class: "soft" }, "Backward: "), data.about[op.name].rule),
    ...[
      op.within !== null &&
        make(
          "p",
          { class: "where" },
          `Run by op ${op.within}, which saves only its inputs and computes the rest again in backward.`,
        ),
      whereSection(op),
      ...parts,
      derivation,
      codeSection(op),
    ].filter(Boolean),
  );
  at("detail").hidden = false;
  at("detail").classList.remove("entry");
  at("detail").scrollTop = 0;
}
