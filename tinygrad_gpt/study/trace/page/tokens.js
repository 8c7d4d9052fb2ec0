// The text of the step: which token a row of an array belongs to

const text = data.text;
const shown = (label) => `'${label.replaceAll("\n", "↵").replaceAll("\t", "⇥")}'`;
const tokenText = (id) => (id in text.vocabulary ? shown(text.vocabulary[id]) : `token ${id}`);

// What the axes of a place's array count: "row", "position", "head", ...
function axesOf(place) {
  const shape = shapeOf(place);
  const words = exact.axes[keyOfPlace(place)] ?? (text && shape.length >= 2 && isText(shape) ? ["row", "position"] : []);
  return shape.map((_, axis) => words[axis] ?? `axis ${axis}`);
}
const isText = (shape) => shape.length === 2 && shape[0] === text.ids.length && shape[1] === text.ids[0].length;

// The token at `i` along an axis of an array whose other positions are in `index`; "" if it has none
function tokenAt(axes, axis, i, index) {
  if (!text) return "";
  if (axes[axis] === "token id") return tokenText(i);
  const row = index[axes.indexOf("row")];
  if (!axes[axis].endsWith("position") || row === undefined) return "";
  const id = text.ids[row]?.[i];
  return id === undefined ? "" : tokenText(id);
}

// "row 0, position 3 'e' → target 't', channel 5"
function inAxes(place) {
  const axes = axesOf(place);
  const words = place.index
    .map((i, axis) => {
      const token = tokenAt(axes, axis, i, place.index);
      const row = place.index[axes.indexOf("row")];
      const target = axes[axis] === "position" && token ? ` → target ${tokenText(text.targets[row][i])}` : "";
      return `${axes[axis]} ${i}${token && ` ${token}`}${target}`;
    })
    .join(", ");
  return words + inParts(place);
}

// A channel that holds several indices, in words: "key, head 0, channel 5 of 8"
const PARTS = ["query", "key", "value"];
const inParts = (place) => {
  const found = groupAt(place);
  if (!found) return "";
  const { items, letters, sizes } = found;
  const words = items.map((item) =>
    typeof item === "number" ? PARTS[item] : item === "h" ? `head ${letters.h}` : `channel ${letters[item]} of ${sizes[item]}`,
  );
  return ` (${words.join(", ")})`;
};

// "query", "key" or "value" for an entry of their common array
const partOf = (place) => {
  const first = place && groupAt(place)?.items[0];
  return typeof first === "number" ? PARTS[first] : "";
};

// The indices that the entry's last one is made of, if an op takes it apart
function groupAt(place) {
  if (place.inside !== undefined) return null;
  for (const [op, sums] of exact.sums.entries()) {
    if (!sums) continue;
    const names = Object.keys(sums.arguments).filter((name) => sums.arguments[name] === place.value);
    const own = [...names.map((name) => `d${name}`), ops[op].output === place.value && "y"];
    for (const { name, index } of sums.patterns.map((number) => exact.patterns[number])) {
      const group = index.find((item) => item.items);
      const letters = group && own.includes(name) && bind(index, place.index, sums.sizes);
      if (!letters) continue;
      return { items: group.items, letters, sizes: sums.sizes };
    }
  }
  return null;
}

// The tokens that a factor's entry is at, in short; where there are two, what each is
const SHORT = { position: "at", "key position": "key", "token id": "token" };
function tokenOf(place) {
  if (!text || !place) return "";
  const axes = axesOf(place);
  const tokens = place.index.map((i, axis) => [axes[axis], tokenAt(axes, axis, i, place.index)]).filter(([, token]) => token);
  if (tokens.length > 1) return tokens.map(([axis, token]) => `${SHORT[axis]} ${token}`).join(" ");
  if (axes.length === 2 && axes[1] === "position" && tokens.length)
    return `${tokens[0][1]} → ${tokenText(text.targets[place.index[0]][place.index[1]])}`; // a number of the loss
  return tokens[0]?.[1] ?? "";
}

function textPanel() {
  if (!text) return null;
  const rows = text.ids.map((ids, row) => [
    make("small", {}, `row ${row}`),
    make(
      "ol",
      { "aria-label": `Row ${row}` },
      ids.map((id, position) =>
        make(
          "li",
          {},
          make("small", {}, position),
          make("b", {}, tokenText(id)),
          make("small", {}, id),
          make("span", { class: "target" }, `→ ${tokenText(text.targets[row][position])}`),
        ),
      ),
    ),
  ]);
  return make(
    "details",
    { class: "text", open: !matchMedia(NARROW).matches },
    make("summary", {}, "The text: position, token, id → target"),
    make("div", { class: "scrolls", tabindex: "0", role: "region", "aria-label": "The text" }, rows),
  );
}
