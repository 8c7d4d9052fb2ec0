// The model as nested boxes

const extent = (of) => {
  const all = of.filter((x) => x > 0).map(Math.log);
  return [Math.min(...all), Math.max(...all)];
};
const size = (stats) => (stats === null ? null : (stats.rms ?? 0)); // also right if all entries are equal
const outputs = ops.map((op) => values[op.output]);
const valueExtent = extent(outputs.map((v) => size(v.stats))),
  gradientExtent = extent(outputs.map((v) => size(v.gradient)));
function bar(x, [low, high], title) {
  const share = x > 0 ? (high > low ? 0.06 + (0.94 * (Math.log(x) - low)) / (high - low) : 1) : 0;
  const element = make("i", { title: x === null ? "no gradient" : `${title} ${number(x)} (root mean square)` });
  element.style.width = `${100 * share}%`;
  return element;
}

function opButton(op, i) {
  const output = values[op.output],
    parameters = op.inputs.map((v) => values[v]).filter((v) => v.kind === "leaf");
  const names = parameters
    .map((v) => `${v.name.startsWith(op.scope + ".") ? v.name.slice(op.scope.length + 1) : v.name} ${shape(v.stats)}`)
    .join("  ");
  const label =
    `Op ${i}, ${op.name}${op.scope ? " in " + op.scope : ""}, ${shape(output.stats)}` +
    (names ? `, with ${names}` : "");
  return make(
    "button",
    {
      type: "button",
      class: op.within === null ? "op" : "op again",
      id: `op-${i}`,
      "aria-label": label,
      onclick: () => choose(i),
    },
    make("span", { class: "number" }, i),
    make("span", { class: "name" }, breakable(op.name)),
    make("span", { class: "shape" }, shape(output.stats)),
    make(
      "span",
      { class: "bars" },
      bar(size(output.stats), valueExtent, "value"),
      bar(size(output.gradient), gradientExtent, "gradient"),
    ),
    names && make("span", { class: "parameters" }, names),
  );
}

function boxes() {
  let open = [{ name: null, element: at("boxes") }];
  ops.forEach((op, i) => {
    let shared = 0;
    while (shared < op.levels.length && open[shared + 1]?.name === op.levels[shared]) shared++;
    open = open.slice(0, shared + 1);
    for (const level of op.levels.slice(shared)) {
      const inside = make("div", {});
      const toggle = make("button", { type: "button", "aria-expanded": "true" }, level);
      toggle.addEventListener("click", () => {
        inside.hidden = !inside.hidden;
        toggle.setAttribute("aria-expanded", String(!inside.hidden));
        edges();
      });
      open
        .at(-1)
        .element.append(
          make(
            "section",
            { class: "box", "aria-label": op.levels.slice(0, open.length).join(".") },
            make("h2", {}, toggle),
            inside,
          ),
        );
      open.push({ name: level, element: inside });
    }
    open.at(-1).element.append(opButton(op, i));
  });
}

// Arrows from op to op; those that pass other ops run in lanes on the left

const links = [];
let laneCount = 0;
ops.forEach((op, to) =>
  op.inputs.forEach((v, slot) => {
    const from = values[v].op;
    if (from !== null && from !== to && !links.some((l) => l.from === from && l.to === to))
      links.push({ from, to, wanted: op.wanted[slot] });
  }),
);

function lanes() {
  const ends = [];
  for (const link of links.filter((l) => l.to > l.from + 1).sort((a, b) => a.to - a.from - (b.to - b.from))) {
    link.lane = ends.findIndex((taken) => taken.every(([from, to]) => link.to <= from || link.from >= to));
    if (link.lane < 0) {
      link.lane = Math.min(ends.length, 5);
      ends[link.lane] ??= [];
    }
    ends[link.lane].push([link.from, link.to]);
  }
  laneCount = ends.length;
  at("canvas").style.setProperty("--gutter", `${12 + 9 * laneCount}px`);
}

function svg(tag, attributes, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

function edges() {
  const canvas = at("edges"),
    origin = at("canvas").getBoundingClientRect(),
    [forward, current] = events[state.event];
  const place = (i) => {
    const box = at(`op-${i}`).getBoundingClientRect();
    return box.height
      ? {
          left: box.left - origin.left,
          right: box.right - origin.left,
          top: box.top - origin.top,
          bottom: box.bottom - origin.top,
          middle: (box.top + box.bottom) / 2 - origin.top,
        }
      : null;
  };
  canvas.replaceChildren();
  for (const link of links) {
    const a = place(link.from),
      b = place(link.to);
    if (!a || !b || (!forward && !link.wanted)) continue;
    const on = forward ? link.to === current : link.from === current || link.to === current;
    let path, x, y;
    if (link.lane === undefined) {
      x = Math.min(a.right, b.right) - 22;
      y = forward ? b.top : a.bottom;
      path = `M${x} ${a.bottom} V${b.top}`;
    } else {
      const lane = 3 + 9 * (laneCount - 1 - link.lane);
      const up = a.middle + 5,
        down = b.middle - 5;
      const corner = lane + 6;
      path = `M${a.left} ${up} H${corner} Q${lane} ${up} ${lane} ${up + 6} V${down - 6} `;
      path += `Q${lane} ${down} ${corner} ${down} H${b.left}`;
      [x, y] = forward ? [b.left, down] : [a.left, up];
    }
    const head =
      link.lane === undefined
        ? forward
          ? `M${x - 4} ${y - 6} L${x + 4} ${y - 6} L${x} ${y} Z`
          : `M${x - 4} ${y + 6} L${x + 4} ${y + 6} L${x} ${y} Z`
        : `M${x - 6} ${y - 4} L${x - 6} ${y + 4} L${x} ${y} Z`;
    const group = svg(
      "g",
      on ? { class: "on" } : {},
      svg("path", { d: path }),
      svg("path", { d: head, class: "head" }),
    );
    on ? canvas.append(group) : canvas.prepend(group);
  }
}
