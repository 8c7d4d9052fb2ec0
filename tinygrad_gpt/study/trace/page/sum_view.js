// A sum as a table: the largest terms first, each factor a button that leads to its own sums

const LARGEST = 12; // terms that are shown first
const MORE = 100;

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
    return make("div", { class: "sum" }, by, missingNumber(about));
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
  const byWay = sum.ways.length > 1 && sum.count > 2 && sum.ways.map(([way, total]) => `${way} ${signed(total)}`).join(", ");
  return make("div", { class: "sum" }, by, byWay && make("p", { class: "soft" }, byWay), table);
}
