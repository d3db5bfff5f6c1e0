// Numbers in words, and small pieces of page.

export const metres = (value) =>
  value == null ? "not understood" : `${value.toFixed(value < 100 ? 2 : 0)} m`;

export const range = (interval) =>
  interval && interval.p10 != null
    ? `${short(interval.p10)} to ${short(interval.p90)} m`
    : null;

export const short = (value) =>
  value >= 10 ? value.toFixed(0) : value >= 1 ? value.toFixed(1) : value.toFixed(2);

export const degrees = (value) => `${Math.abs(value).toFixed(1)}°`;

// A tag, its attributes (on... are listeners), its children.
export function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value == null || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "class") node.className = value;
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat().filter((child) => child != null));
  return node;
}

export function svg(tag, attributes = {}, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value != null) node.setAttribute(name, value);
  }
  node.append(...children.flat());
  return node;
}

export const button = (words, click, options = {}) =>
  el("button", { type: "button", onclick: click, ...options }, words);

// What the model read and wrote, word for word.
export const evidence = (prompt, raw, open = false) =>
  el(
    "details",
    { class: "evidence", open },
    el("summary", {}, "Asked and answered, word for word"),
    el("dl", {}, el("dt", {}, "Question"), el("dd", {}, prompt), el("dt", {}, "Answer"), el("dd", {}, raw || "(nothing)")),
  );

// Where a number and its interval lie, on a logarithmic scale of metres.
const SCALE = [0.3, 75];
const TICKS = [0.5, 1, 2, 5, 10, 20, 50];
export function intervalBar(value, interval, truth) {
  if (!interval || interval.p10 == null) return null;
  const at = (m) =>
    (100 * Math.log(Math.min(Math.max(m, SCALE[0]), SCALE[1]) / SCALE[0])) / Math.log(SCALE[1] / SCALE[0]);
  const shapes = [
    svg("rect", { x: 0, y: 5, width: 100, height: 2, rx: 1, class: "track" }),
    svg("rect", { x: at(interval.p10), y: 4, width: Math.max(at(interval.p90) - at(interval.p10), 0.6), height: 4, rx: 1, class: "span" }),
  ];
  if (truth != null) shapes.push(svg("rect", { x: at(truth) - 0.4, y: 1, width: 0.8, height: 10, class: "truth" }));
  if (value != null) shapes.push(svg("rect", { x: at(value) - 0.7, y: 2, width: 1.4, height: 8, rx: 0.7, class: "value" }));
  const bar = svg("svg", { viewBox: "0 0 100 12", preserveAspectRatio: "none", class: "bar", "aria-hidden": "true" }, shapes);
  const ticks = el("div", { class: "ticks", "aria-hidden": "true" });
  for (const tick of TICKS) {
    const label = el("span", {}, tick === 50 ? "50 m" : String(tick));
    label.style.left = `${at(tick)}%`;
    ticks.append(label);
  }
  return el("div", { class: "scale" }, bar, ticks);
}
