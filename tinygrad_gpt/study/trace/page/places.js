// Places: an entry of an array, by the array's name and its index

const shapeOf = (place) =>
  place.inside === undefined ? values[place.value].stats.shape : (exact.sums[place.op].shapes[place.inside] ?? []);
const nameOf = (place) =>
  place.inside === undefined ? values[place.value].name : `${values[ops[place.op].output].name}:${place.inside}`;
const keyOfPlace = (place) => (place.inside === undefined ? `${place.value}` : `${place.op}:${place.inside}`); // of its array
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
