// Ways to numbers from an op's page, and the arrays inside an op

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
