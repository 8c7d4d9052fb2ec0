// Exact numbers, and the sums that they are made by: a program for the notation in entries/notation.py

const exact = data.exact;
const decoded = new Map();
const typed = { float32: Float32Array, float64: Float64Array, int32: Int32Array, uint8: Uint8Array };

// The array of a key ("12", "12.gradient", "14:dS"): {dtype, shape, data}; null if the page does not have it
function arrayOf(key) {
  const stored = exact.arrays[key];
  if (!stored) return null;
  if (stored.same) return arrayOf(stored.same);
  if (!decoded.has(key)) {
    const bytes = Uint8Array.from(atob(stored.data), (c) => c.charCodeAt(0));
    decoded.set(key, {
      dtype: stored.shown_dtype ?? stored.dtype,
      shape: stored.shape,
      data: new typed[stored.dtype](bytes.buffer),
    });
  }
  return decoded.get(key);
}

const offset = (shape, index) => index.reduce((sum, i, axis) => sum * shape[axis] + i, 0);
const entryOf = (array, index) => array.data[offset(array.shape, index)];
const indexAt = (shape, offset) =>
  shape.reduceRight(([index, n], size) => [[n % size, ...index], Math.floor(n / size)], [[], offset])[0];
// As in a heat map, where a nan is larger than any number
const isLarger = (x, y) => !Number.isNaN(y) && !(Math.abs(x) <= Math.abs(y));
const isInside = (shape, index) =>
  shape.length === index.length && index.every((i, axis) => Number.isInteger(i) && i >= 0 && i < shape[axis]);

// The shortest decimal that reads back as this very number of float32 or float64; of a shorter dtype, as a float64
function exactText(x, dtype) {
  if (dtype === "bool") return x ? "True" : "False";
  if (!Number.isFinite(x)) return Number.isNaN(x) ? "nan" : x > 0 ? "inf" : "-inf";
  if (dtype === "float32") {
    for (let digits = 1; digits < 10; digits++) {
      const short = +x.toPrecision(digits);
      if (Math.fround(short) === x) return plain(short);
    }
  }
  return plain(x);
}
const plain = (x) => (Object.is(x, -0) ? "-0" : String(x));

// Which array an op's rules mean: the key of its numbers
function keyOf(op, name) {
  const { arguments: given } = exact.sums[op];
  if (`${op}:${name}` in exact.arrays) return `${op}:${name}`;
  if (name === "y") return `${ops[op].output}`;
  if (name === "dy") return `${ops[op].output}.gradient`;
  return name in given ? `${given[name]}` : `${op}:${name}`;
}

// The array and position that a factor is an entry of, as a place that can be opened; null if it has no page
function placeOf(op, name, index) {
  const { arguments: given, shapes } = exact.sums[op];
  if (name in given) return { value: given[name], index };
  if (name === "y" || name === "dy") return { value: ops[op].output, index };
  return name in shapes ? { op, inside: name, index } : null;
}

const sizeOf = (item, sizes) =>
  typeof item === "string" ? sizes[item] : typeof item === "number" ? 1 : item.items.reduce((n, i) => n * sizeOf(i, sizes), 1);

// The letters of an entry's index, or null if a number in the pattern is another one
function bind(items, index, sizes) {
  const letters = {};
  for (const [axis, item] of items.entries()) {
    const parts = item.items ?? [item];
    let i = index[axis];
    for (const part of parts.slice(1).reverse()) {
      letters[part] = i % sizes[part];
      i = Math.floor(i / sizes[part]);
    }
    if (typeof parts[0] === "string") letters[parts[0]] = i;
    else if (parts[0] !== i) return null;
  }
  return letters;
}

const compare = {
  "=": (a, b) => a === b,
  "<": (a, b) => a < b,
  "<=": (a, b) => a <= b,
  ">": (a, b) => a > b,
  ">=": (a, b) => a >= b,
};

class Missing extends Error {}

// The sum for entry `index` of the array `name` of an op: {formula, ways, total, magnitude, count, terms(limit)}, or {missing: key}
function sumOf(op, name, index) {
  const { patterns, sizes, numbers } = exact.sums[op];
  const arrays = new Map(); // by name: looked up once
  const array = (name) => {
    if (!arrays.has(name)) {
      const found = arrayOf(keyOf(op, name));
      if (!found) throw new Missing(keyOf(op, name));
      arrays.set(name, found);
    }
    return arrays.get(name);
  };
  const at = (item, letters) => {
    if (typeof item === "string") return letters[item];
    if (typeof item === "number") return item;
    if (item.items) return item.items.reduce((sum, part, i) => (i ? sum * sizeOf(part, sizes) + at(part, letters) : at(part, letters)), 0);
    return entryOf(array(item.array), item.index.map((part) => at(part, letters)));
  };
  const valuesName = (factor) => factor.form.replace("{}", factor.name);
  const value = (factor, letters) =>
    "label" in factor
      ? Number(numbers[factor.label])
      : entryOf(array(valuesName(factor)), factor.index.map((item) => at(item, letters)));
  const describe = (factor, letters) => {
    const number = value(factor, letters);
    if ("label" in factor) return { label: factor.label, value: number, place: null, form: "{}" };
    let position = factor.index.map((item) => at(item, letters));
    const shape = arrayOf(keyOf(op, factor.name))?.shape;
    if (factor.form !== "{}" && shape && shape.length < position.length + 1 && !isInside(shape, position))
      position = position.slice(position.length - shape.length).map((i, axis) => (shape[axis] === 1 ? 0 : i)); // broadcast
    return {
      name: factor.name,
      form: factor.form,
      value: number,
      place: placeOf(op, factor.name, position),
      isGradient: factor.name === "dy",
      index: position,
      dtype: array(valuesName(factor)).dtype,
    };
  };
  const all = [];
  try {
    let found;
    for (const number of patterns) {
      const pattern = exact.patterns[number];
      const own = pattern.name === name ? bind(pattern.index, index, sizes) : null;
      if (own) {
        found = pattern;
        for (const term of pattern.terms) {
          each(term.letters, sizes, own, (letters) => {
            const holds = ({ left, comparison, right }) => compare[comparison](at(left, letters), at(right, letters));
            if (!term.conditions.every(holds)) return;
            const product = term.factors.reduce((product, factor) => product * value(factor, letters), 1);
            all.push({ value: product, term, letters: { ...letters } });
          });
        }
        break;
      }
    }
    if (!found) return null;
    const size = ({ value }) => (Number.isNaN(value) ? -1 : Math.abs(value)); // nan comes last
    const sorted = [...all].sort((a, b) => size(b) - size(a) || 0); // stable
    return {
      formula: found.formula,
      ways: [...new Set(found.terms.map(({ way }) => way))]
        .map((way) => [way, all.filter(({ term }) => term.way === way).map(({ value }) => value)])
        .filter(([way, values]) => way && values.length)
        .map(([way, values]) => [way, exactSum(values)]),
      total: exactSum(all.map((term) => term.value)),
      magnitude: exactSum(all.map((term) => Math.abs(term.value))),
      count: all.length,
      terms: (limit) =>
        sorted.slice(0, limit).map(({ value, term, letters }) => ({
          value,
          way: term.way,
          factors: term.factors.map((factor) => describe(factor, letters)),
        })),
    };
  } catch (error) {
    if (error instanceof Missing) return { missing: error.message };
    throw error;
  }
}

// Calls `use` with all values of the letters that are summed over
function each(summed, sizes, own, use) {
  const letters = { ...own };
  const next = (i) => {
    if (i === summed.length) return use(letters);
    for (let n = 0; n < sizes[summed[i]]; n++) {
      letters[summed[i]] = n;
      next(i + 1);
    }
  };
  next(0);
}

// The exact sum, rounded once (Shewchuk's partial sums, as Python's math.fsum); with infinities or nan, the plain one
function exactSum(numbers) {
  if (!numbers.every(Number.isFinite)) return numbers.reduce((sum, x) => sum + x, 0);
  const partials = [];
  for (let x of numbers) {
    let kept = 0;
    for (let y of partials) {
      if (Math.abs(x) < Math.abs(y)) [x, y] = [y, x];
      const high = x + y,
        low = y - (high - x);
      if (low) partials[kept++] = low;
      x = high;
    }
    partials.length = kept;
    partials.push(x);
  }
  if (!partials.every(Number.isFinite)) return numbers.reduce((sum, x) => sum + x, 0);
  let n = partials.length,
    high = n ? partials[--n] : 0,
    low = 0;
  while (n > 0 && !low) {
    const x = high,
      y = partials[--n];
    high = x + y;
    low = y - (high - x);
  }
  if (n > 0 && low && low < 0 === partials[n - 1] < 0) {
    // half-way cases round to even only if nothing is left below
    const doubled = 2 * low,
      up = high + doubled;
    if (up - high === doubled) high = up;
  }
  return high;
}
