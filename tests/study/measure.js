// What a reader would miss on a page: faults(window) measures everything that is visible (or what is in root) and returns a line for each fault.
//   cut      text or a picture that sticks out of its box, of what clips it, or of the page
//   overlap  two texts on one another
//   faint    text whose contrast with what is behind it is below 4.5 (WCAG 2.2, success criterion 1.4.3)
"use strict";

const SLACK = 1.5; // pixels: boxes lie between pixels
// Code, formulas, the text's tokens and tables of numbers do not wrap; all else must be whole
const SCROLLS_SIDEWAYS = "pre, .formula, #text, .scrolls, .squares figure";
const LINES_TOUCH = 6; // pixels: boxes of lines are taller than their letters
const CONTRAST = 4.5;

function faults(window, root = window.document.body) {
  const { document } = window;
  const found = new Set();
  const shown = (element) => element.checkVisibility({ visibilityProperty: true });
  const name = (element) =>
    element.tagName.toLowerCase() + (element.id ? `#${element.id}` : "") + (element.classList.length ? `.${[...element.classList].join(".")}` : "");
  const style = (element, pseudo) => window.getComputedStyle(element, pseudo);
  const words = (text) => JSON.stringify(text.trim().replace(/\s+/g, " ").slice(0, 40));

  const kept = (compute) => {
    const known = new Map();
    return (element) => {
      if (!known.has(element)) known.set(element, compute(element));
      return known.get(element);
    };
  };

  // Where what is in an element can be seen, or scrolled to: [left, right, top, bottom, what ends it there]
  const whole = [0, document.documentElement.clientWidth, 0, window.innerHeight, "the page"];
  const room = kept((element) => {
    const { overflowX, overflowY, position } = style(element);
    if (element === document.body || element === document.documentElement) {
      const [left, right, , bottom, by] = whole;
      return [left, right, -Infinity, /hidden|clip/.test(style(document.body).overflowY) ? bottom : Infinity, by];
    }
    let [left, right, top, bottom, by] = position === "fixed" ? whole : room(element.parentElement);
    const box = element.getBoundingClientRect();
    const x = box.left + element.clientLeft, y = box.top + element.clientTop;
    if (overflowX !== "visible" && element.clientWidth) {
      if (element.matches(SCROLLS_SIDEWAYS)) [left, right] = [-Infinity, Infinity];
      else if (x > left || x + element.clientWidth < right)
        [left, right, by] = [Math.max(left, x), Math.min(right, x + element.clientWidth), name(element)];
    }
    if (overflowY !== "visible" && element.clientHeight) {
      if (/auto|scroll/.test(overflowY)) [top, bottom] = [-Infinity, Infinity];
      else if (y > top || y + element.clientHeight < bottom)
        [top, bottom, by] = [Math.max(top, y), Math.min(bottom, y + element.clientHeight), name(element)];
    }
    return [left, right, top, bottom, by];
  });
  function clipped(rect, element) {
    const [left, right, top, bottom, by] = room(element);
    const inside = rect.left >= left - SLACK && rect.right <= right + SLACK && rect.top >= top - SLACK && rect.bottom <= bottom + SLACK;
    return inside ? null : `by ${by}`;
  }

  // What scrolls together: a sheet, or a table's head that stays, may lie over what is scrolled below it
  const layer = kept((element) => {
    const { overflowX, overflowY, position } = style(element);
    return !element.parentElement || /auto|scroll/.test(overflowX + overflowY) || position === "sticky" ? element : layer(element.parentElement);
  });

  // Colours: every notation is one pixel
  const brush = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const seen = new Map();
  function rgba(colour) {
    if (!seen.has(colour)) {
      brush.clearRect(0, 0, 1, 1);
      brush.fillStyle = colour;
      brush.fillRect(0, 0, 1, 1);
      const [r, g, b, a] = brush.getImageData(0, 0, 1, 1).data;
      seen.set(colour, [r, g, b, a / 255]);
    }
    return seen.get(colour);
  }
  const over = ([r, g, b, a], [R, G, B, A]) => {
    const all = a + A * (1 - a);
    const mix = (x, X) => (all ? (x * a + X * A * (1 - a)) / all : 0);
    return [mix(r, R), mix(g, G), mix(b, B), all];
  };
  const light = ([r, g, b]) => {
    const linear = [r, g, b].map((c) => (c / 255 <= 0.04045 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
  };
  const ground = kept((element) => {
    const { backgroundColor, opacity } = style(element);
    return [rgba(backgroundColor), Number(opacity)];
  });
  function contrast(colour, element) {
    let text = rgba(colour), behind = [0, 0, 0, 0];
    for (let outer = element; outer; outer = outer.parentElement) {
      const [background, opacity] = ground(outer);
      [text, behind] = [text, behind].map((layer) => {
        const [r, g, b, a] = over(layer, background);
        return [r, g, b, a * opacity];
      });
    }
    const [high, low] = [text, behind].map((layer) => light(over(layer, [255, 255, 255, 1]))).sort((a, b) => b - a);
    return (high + 0.05) / (low + 0.05);
  }
  function faint(text, colour, element) {
    const ratio = contrast(colour, element);
    if (ratio < CONTRAST) found.add(`faint: ${words(text)} in ${name(element)}, ${ratio.toFixed(2)}`);
  }

  // Text
  const lines = [];
  const walker = document.createTreeWalker(root, window.NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const element = node.parentElement;
    if (!node.data.trim() || !shown(element) || element.closest("script, style, noscript, template")) continue;
    const range = document.createRange();
    range.selectNodeContents(node);
    for (const rect of range.getClientRects()) {
      if (rect.width < 1) continue;
      const by = clipped(rect, element);
      if (by) found.add(`cut: ${words(node.data)} in ${name(element)} ${by}`);
      if (!element.closest("pre")) lines.push([rect, node, element.closest("math") ?? node, layer(element)]);
    }
    faint(node.data, style(element).color, element);
  }
  lines.sort(([a], [b]) => a.top - b.top);
  lines.forEach(([a, node, group, pane], i) => {
    for (let j = i + 1; j < lines.length && lines[j][0].top < a.bottom - LINES_TOUCH; j++) {
      const [b, other, its, itsPane] = lines[j];
      if (group === its || pane !== itsPane || Math.min(a.right, b.right) - Math.max(a.left, b.left) < 2) continue;
      if (Math.min(a.bottom, b.bottom) - b.top > LINES_TOUCH) found.add(`overlap: ${words(node.data)} and ${words(other.data)}`);
    }
  });

  // Boxes and pictures
  for (const element of root.querySelectorAll("*")) {
    if (element.closest("script, style, noscript, template, math") || !shown(element)) continue;
    const sideways = element.scrollWidth > element.clientWidth + SLACK;
    if (element.clientWidth && sideways && !element.closest(SCROLLS_SIDEWAYS) && !element.matches("input, svg, body"))
      found.add(`cut: ${name(element)} is ${element.clientWidth} wide, what is in it ${element.scrollWidth}`);
    if (element.matches("canvas, svg path, svg text, input, button, img, .bar, .bars i, .share")) {
      const rect = element.getBoundingClientRect();
      const by = rect.width ? clipped(rect, element.parentElement) : null;
      if (by) found.add(`cut: ${name(element)} ${by}`);
    }
    if (element.matches("input:not([type=range])")) {
      const { font, paddingLeft, paddingRight, color } = style(element);
      brush.font = font;
      const room = element.clientWidth - parseFloat(paddingLeft) - parseFloat(paddingRight);
      const text = element.value || element.placeholder;
      if (brush.measureText(text).width > room) found.add(`cut: ${words(text)} in ${name(element)}`);
      faint(text, element.value ? color : style(element, "::placeholder").color, element);
    }
  }
  return [...found];
}
