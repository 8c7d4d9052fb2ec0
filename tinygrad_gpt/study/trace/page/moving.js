// Navigation

// Marks an event in the model and the player
function mark(event, follow = false) {
  state.event = Math.max(0, Math.min(events.length - 1, event));
  const [forward, current] = events[state.event];
  document.body.classList.toggle("back", !forward);
  const past = events.slice(0, state.event + 1);
  const ran = new Set(past.filter((e) => e[0]).map((e) => e[1])),
    returned = new Set(past.filter((e) => !e[0]).map((e) => e[1]));
  ops.forEach((op, i) => {
    const button = at(`op-${i}`);
    button.classList.toggle("done", ran.has(i) && !returned.has(i));
    button.classList.toggle("returned", returned.has(i));
    button.classList.toggle("later", !ran.has(i));
    i === current ? button.setAttribute("aria-current", "step") : button.removeAttribute("aria-current");
  });
  at("slider").value = state.event;
  at("slider").setAttribute("aria-valuetext", `step ${state.event} of 0 to ${events.length - 1}`);
  const op = ops[current];
  const which = `${state.event}/${events.length - 1}  ${forward ? "forward ↓" : "backward ↑"}`;
  at("status").textContent = `${which}  ${current} ${op.name}${op.scope ? " in " + op.scope : ""}`;
  edges();
  if (follow) at(`op-${current}`).scrollIntoView({ block: "center" });
}

function show(event, follow = false, remember = true) {
  const way = state.place ? "pushState" : "replaceState"; // so that Back returns to an entry
  state.place = null;
  mark(event, follow);
  detail();
  const [forward, current] = events[state.event];
  try {
    if (remember) history[way](null, "", `#${forward ? "forward" : "backward"}-${current}`);
  } catch {
    /* some viewers forbid it */
  }
}

function choose(i) {
  const [forward] = events[state.event];
  show(eventOf[!forward && eventOf.backward.has(i) ? "backward" : "forward"].get(i));
}

function step(by) {
  stop();
  show(state.event + by, true);
}
function closeDetail() {
  at("detail").hidden = true;
  at(`op-${events[state.event][1]}`).focus({ preventScroll: true });
}
function stop() {
  clearInterval(state.timer);
  state.timer = null;
  at("play").textContent = "▶";
  at("play").setAttribute("aria-pressed", "false");
  at("play").setAttribute("aria-label", "Play");
}
function play() {
  if (state.timer) return stop();
  if (state.event === events.length - 1) show(0, true);
  at("play").textContent = "❚❚";
  at("play").setAttribute("aria-pressed", "true");
  at("play").setAttribute("aria-label", "Pause");
  state.timer = setInterval(() => (state.event === events.length - 1 ? stop() : show(state.event + 1, true)), 700);
}

function search() {
  at("wrong").textContent = "";
  const typed = at("search").value.replace(/\[.*$/s, ""); // of NAME[3, 5] the name
  const words = typed.toLowerCase().split(/\s+/).filter(Boolean);
  let found = 0;
  ops.forEach((op, i) => {
    const text = [
      op.name,
      op.scope,
      ...op.inputs
        .map((v) => values[v])
        .filter((v) => v.op === null)
        .map((v) => v.name),
      values[op.output].name,
      values[op.output].variable ?? "",
      op.output === data.loss ? "loss" : "",
      ...Object.keys(exact.sums[i]?.shapes ?? {}).map((inside) => `${values[op.output].name}:${inside}`),
      ...op.lines.slice(0, 1).map(lineName),
    ]
      .join(" ")
      .toLowerCase();
    const match = words.every((word) => text.includes(word));
    at(`op-${i}`).hidden = !match;
    found += match;
  });
  for (const box of document.querySelectorAll(".box")) box.hidden = !box.querySelector(".op:not([hidden])");
  at("nothing").hidden = found > 0;
  if (words.length) at("status").textContent = `${found} of ${ops.length} ops found`;
  edges();
}

function theme(next) {
  state.theme = next;
  next === "auto"
    ? document.documentElement.removeAttribute("data-theme")
    : document.documentElement.setAttribute("data-theme", next);
  at("theme").textContent = { auto: "◐", light: "☀", dark: "☾" }[next];
  at("theme").setAttribute("aria-label", `Colours: ${next === "auto" ? "as in the system" : next}`);
  try {
    localStorage.setItem("theme", next);
  } catch {
    /* a file may have no storage */
  }
  for (const canvas of document.querySelectorAll("canvas")) canvas.paint();
}

// Whether the words are an entry's or an array's, and not of an op: NAME[3, 5], a whole name, or what no op has
const isEntry = (words, firstOp) => /\[.*\]$/.test(words) || places.has(words.replace(/^d /, "")) || (words && firstOp < 0);

function openFound(words) {
  const found = parsePlace(words);
  at("wrong").textContent = typeof found === "string" ? found : "";
  if (typeof found === "string") return;
  at("search").value = "";
  search();
  open(found);
}

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const inSearch = event.target === at("search");
  if (event.key === "Escape") {
    if (inSearch || at("search").value) {
      at("search").value = "";
      search();
      at("search").blur();
      mark(state.event);
    } else if (!at("help").hidden) help();
    else if (state.place) show(state.event);
    else closeDetail();
    return;
  }
  if (inSearch) {
    const first = ops.findIndex((_, i) => !at(`op-${i}`).hidden);
    if (event.key === "Enter" && isEntry(at("search").value.trim(), first)) return openFound(at("search").value);
    if (event.key === "Enter" && first >= 0) {
      choose(first);
      at(`op-${first}`).focus();
    }
    return;
  }
  if (event.target === at("slider") && event.key !== "/") return;
  if (event.target.closest?.("input, select")) return;
  if (event.target.closest?.(".numbers") && moveEntry(event.key)) return event.preventDefault();
  if (event.target.closest?.("pre, .scrolls") && /^(Arrow|Home|End)/.test(event.key)) return; // they scroll it
  if (state.place && /^(Arrow|Home|End)/.test(event.key)) return; // they scroll the entry
  if (/^[1-9]$/.test(event.key)) return followTerm(+event.key);
  const actions = {
    ArrowDown: () => step(1),
    ArrowRight: () => step(1),
    ArrowUp: () => step(-1),
    ArrowLeft: () => step(-1),
    Home: () => step(-events.length),
    End: () => step(events.length),
    "/": () => at("search").focus(),
    "?": help,
    b: () => {
      const [forward, i] = events[state.event],
        to = eventOf[forward ? "backward" : "forward"].get(i);
      if (to !== undefined) show(to);
    },
  };
  if (!(event.key in actions)) return;
  event.preventDefault();
  actions[event.key]();
}

// Opens the entry that the address names; whether it names one
function openFrom(hash) {
  const words = hash.startsWith("#entry=") && decodeAddress(hash.slice("#entry=".length));
  if (!words) return false;
  const { place, trail = [] } = history.state ?? {};
  const found = place && exists(place) && placeText(place) === words ? place : parsePlace(words); // two arrays may have one name
  if (typeof found === "string") return false;
  open(found, { push: false, trail: trail.filter(exists) });
  return true;
}

// The text that a part of an address stands for; null if it is malformed
function decodeAddress(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return null;
  }
}

// Whether a place of the browser's history is in this page: the file may have been written again since
function exists({ value, op, inside, index }) {
  const shape = inside === undefined ? values[value]?.stats.shape : exact.sums[op]?.shapes[inside];
  return shape !== undefined && isInside(shape, index);
}

function help() {
  at("help").hidden = !at("help").hidden;
  if (!at("help").hidden && matchMedia(NARROW).matches) at("detail").hidden = true;
  at("help-button").setAttribute("aria-expanded", String(!at("help").hidden));
  edges();
}

const toLoss = (value) => (data.loss === null ? value : make("button", { type: "button", "aria-label": `The loss, ${value}: why?`, onclick: () => open(placeOfValue(data.loss)) }, value));

function start() {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  at("title").textContent = data.title;
  at("facts").append(
    ...Object.entries(data.facts).map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, name === "loss" ? toLoss(value) : value))),
  );
  if (!events.length) {
    at("status").textContent = "Nothing was recorded.";
    return;
  }
  boxes();
  at("canvas").before(...[textPanel()].filter(Boolean));
  at("arrays").append(...[...places.keys()].map((name) => make("option", { value: name })));
  lanes();
  at("slider").max = events.length - 1;
  at("slider").addEventListener("input", () => {
    stop();
    show(+at("slider").value, true);
  });
  for (const [id, by] of [
    ["first", -events.length],
    ["previous", -1],
    ["next", 1],
  ])
    at(id).addEventListener("click", () => step(by));
  at("play").addEventListener("click", play);
  at("search").addEventListener("input", search);
  at("theme").addEventListener("click", () => {
    const system = dark.matches ? "dark" : "light",
      other = (state.theme === "auto" ? system : state.theme) === "dark" ? "light" : "dark";
    theme(other === system ? "auto" : other); // every click changes the colours
  });
  at("help-button").addEventListener("click", help);
  document.addEventListener("keydown", onKey);
  dark.addEventListener("change", () => theme(state.theme));
  addEventListener("resize", edges);
  let wish = null;
  try {
    wish = localStorage.getItem("theme");
  } catch {
    /* a file may have no storage */
  }
  if (wish === "light" || wish === "dark") theme(wish);
  const hash = location.hash; // before show() writes its own
  const [, kind, op] = hash.match(/^#(forward|backward)-(\d+)$/) ?? [];
  const event = kind && eventOf[kind].get(+op);
  show(event ?? 0, event !== undefined);
  addEventListener("popstate", () => {
    const [, kind, op] = location.hash.match(/^#(forward|backward)-(\d+)$/) ?? [];
    if (kind && eventOf[kind].has(+op)) show(eventOf[kind].get(+op), true, false);
    else openFrom(location.hash);
  });
  matchMedia(NARROW).addEventListener("change", (narrow) => {
    if (!narrow.matches) at("detail").hidden = false; // only a sheet can be closed
  });
  if (!openFrom(hash) && matchMedia(NARROW).matches && event === undefined) at("detail").hidden = true;
}

start();
