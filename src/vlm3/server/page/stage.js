// One picture on the page: where it is clicked, what is marked on it, what camera took it.
// By mouse, by finger, and by keyboard: arrows move a cross, Enter marks.

import { button, el, svg } from "./words.js";

export const COLORS = ["#e8590c", "#1c7ed6", "#2b8a3e", "#ae3ec9", "#b08900", "#c2255c", "#0b7285", "#5f3dc4"];
export const color = (index) => COLORS[index % COLORS.length];

export class Stage {
  // told: {point(x, y), line([x, y], [x, y]), box([x0, y0, x1, y1]), undo(), camera(fov | null), replace(file | null)}
  constructor(letter, told) {
    this.letter = letter;
    this.told = told;
    this.mode = "point";
    this.marks = [];
    this.cross = null;
    this.corner = null;
    this.image = el("img", { alt: "", draggable: "false" });
    this.layer = svg("svg", { class: "layer", "aria-hidden": "true" });
    this.frame = el("div", { class: "frame", tabindex: "0", role: "application", "aria-roledescription": "picture" }, this.image, this.layer);
    this.hint = el("p", { class: "hint", id: `hint-${letter}` });
    this.frame.setAttribute("aria-describedby", `hint-${letter}`);
    this.caption = el("div", { class: "caption" });
    this.node = el("figure", { class: "stage" }, this.frame, this.hint, this.caption);
    new ResizeObserver(() => this.draw()).observe(this.frame);
    this.#listen();
  }

  show(picture) {
    this.picture = picture;
    this.frame.hidden = !picture;
    this.cross = this.corner = null;
    this.#captions();
    if (!picture) return;
    const { width_px: w, height_px: h } = picture.camera;
    if (this.image.src !== picture.preview) this.image.src = picture.preview;
    this.image.width = w;
    this.image.height = h;
    this.frame.style.aspectRatio = `${w} / ${h}`;
    this.frame.style.setProperty("--ratio", w / h);
    this.layer.setAttribute("viewBox", `0 0 ${w} ${h}`);
    this.draw();
  }

  // mode: "point", "line" (dragged, or two points), "box" or "none"
  allow(mode, words, keys) {
    this.mode = mode;
    this.corner = null;
    this.frame.classList.toggle("idle", mode === "none");
    this.frame.classList.toggle("drawn", this.#draws);
    this.frame.tabIndex = mode === "none" ? -1 : 0;
    this.frame.setAttribute("aria-label", `Picture ${this.letter.toUpperCase()}. ${words}`);
    this.hint.textContent = keys ?? "";
    this.hint.hidden = !keys;
    this.draw();
  }

  get #draws() {
    return this.mode === "line" || this.mode === "box";
  }

  mark(marks) {
    this.marks = marks;
    this.draw();
  }

  // Picture pixels in a pixel of the screen.
  get #unit() {
    return this.picture.camera.width_px / (this.frame.clientWidth || 1);
  }

  draw() {
    this.layer.replaceChildren();
    if (!this.picture) return;
    const u = this.#unit;
    for (const mark of this.marks) this.layer.append(...drawn(mark, u));
    if (this.rubber) this.layer.append(...drawn({ ...this.rubber, color: "#fff", label: "" }, u));
    if (this.cross && document.activeElement === this.frame) {
      const [x, y] = this.cross;
      for (const [stroke, width] of [["#fff", 3.5], ["#111", 1.5]]) {
        this.layer.append(svg("path", { d: `M${x - 14 * u} ${y}h${28 * u}M${x} ${y - 14 * u}v${28 * u}`, stroke, "stroke-width": width * u, fill: "none" }));
      }
    }
  }

  #at(event) {
    const box = this.frame.getBoundingClientRect();
    const { width_px: w, height_px: h } = this.picture.camera;
    const inside = (part, most) => Math.min(Math.max(part, 0), 1) * (most - 1e-3);
    return [inside((event.clientX - box.left) / box.width, w), inside((event.clientY - box.top) / box.height, h)];
  }

  #listen() {
    let from = null;
    this.frame.addEventListener("pointerdown", (event) => {
      if (this.mode === "none" || event.button > 0) return;
      from = this.#at(event);
      if (this.#draws) this.frame.setPointerCapture(event.pointerId);
    });
    this.frame.addEventListener("pointermove", (event) => {
      if (!from || !this.#draws) return;
      const to = this.#at(event);
      this.rubber = this.mode === "box" ? { kind: "box", box: boxOf(from, to) } : this.#far(from, to) ? { kind: "line", ends: [from, to] } : null;
      this.draw();
    });
    this.frame.addEventListener("pointercancel", () => {
      from = this.rubber = null;
      this.draw();
    });
    this.frame.addEventListener("pointerup", (event) => {
      if (!from) return;
      const to = this.#at(event);
      this.cross = null;
      if (this.mode === "box") this.#boxed(boxOf(from, to));
      else if (this.mode === "line" && this.#far(from, to)) this.told.line(from, to);
      else this.told.point(...to);
      from = this.rubber = null;
      this.draw();
    });
    this.frame.addEventListener("focus", () => {
      if (!this.cross && this.picture && this.frame.matches(":focus-visible")) {
        this.cross = [this.picture.camera.width_px / 2, this.picture.camera.height_px / 2];
      }
      this.draw();
    });
    this.frame.addEventListener("blur", () => this.draw());
    this.frame.addEventListener("keydown", (event) => this.#key(event));
    for (const kind of ["dragover", "drop"]) {
      this.node.addEventListener(kind, (event) => {
        event.preventDefault();
        if (kind === "drop" && event.dataTransfer.files.length) this.told.replace(event.dataTransfer.files[0]);
      });
    }
  }

  #key(event) {
    if (!this.picture || this.mode === "none") return;
    const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const { width_px: w, height_px: h } = this.picture.camera;
    this.cross ??= [w / 2, h / 2];
    if (moves[event.key]) {
      const step = event.shiftKey ? 1 : Math.max(w, h) / 50;
      const [dx, dy] = moves[event.key];
      this.cross = [
        Math.min(Math.max(this.cross[0] + dx * step, 0), w - 1e-3),
        Math.min(Math.max(this.cross[1] + dy * step, 0), h - 1e-3),
      ];
      if (this.corner) this.rubber = { kind: "box", box: boxOf(this.corner, this.cross) };
    } else if (event.key === "Enter" || event.key === " ") {
      if (this.mode !== "box") this.told.point(...this.cross);
      else if (!this.corner) this.corner = [...this.cross];
      else {
        this.#boxed(boxOf(this.corner, this.cross));
        this.corner = this.rubber = null;
      }
    } else if (event.key === "Escape") this.corner = this.rubber = null;
    else if (event.key === "Backspace" || event.key === "Delete") this.told.undo();
    else return;
    event.preventDefault();
    this.draw();
  }

  // A finger that taps moves a little.
  #far(from, to) {
    return Math.hypot(from[0] - to[0], from[1] - to[1]) > 8 * this.#unit;
  }

  #boxed(box) {
    const least = 4 * this.#unit;
    if (box[2] - box[0] > least && box[3] - box[1] > least) this.told.box(box);
  }

  #captions() {
    this.caption.replaceChildren();
    const letter = this.letter.toUpperCase();
    if (!this.picture) {
      this.caption.append(button(`Choose picture ${letter}`, () => this.told.replace(null), { class: "drop small" }));
      return;
    }
    const { camera, name } = this.picture;
    const from = { exif: "from EXIF", given: "from its calibration", fov: "as you set it", assumed: "assumed: nothing says" }[camera.source];
    const id = `fov-${this.letter}`;
    const shown = el("output", { for: id }, `${camera.fov_deg.toFixed(0)}°`);
    const slider = el("input", {
      id, type: "range", min: 20, max: 130, step: 1, value: Math.round(camera.fov_deg),
      oninput: () => (shown.textContent = `${slider.value}°`),
      onchange: () => this.told.camera(Number(slider.value)),
    });
    this.caption.append(
      el("div", { class: "name" }, el("strong", {}, `${letter} `), el("span", { title: name }, name), el("span", { class: "muted" }, ` ${camera.width_px} × ${camera.height_px} px`), button("Replace", () => this.told.replace(null), { class: "quiet" })),
      el("div", { class: "lens" }, el("label", { for: id }, "Field of view"), slider, shown,
        camera.source === "fov" ? button("Reset", () => this.told.camera(null), { class: "quiet" }) : null),
      el("p", { class: camera.source === "assumed" ? "muted warn" : "muted" }, `Focal length ${camera.fx_px.toFixed(0)} px, ${from}.`),
    );
  }
}

const boxOf = ([x0, y0], [x1, y1]) => [Math.min(x0, x1), Math.min(y0, y1), Math.max(x0, x1), Math.max(y0, y1)];

// A mark as shapes, u picture pixels to one of the screen. Colours stand in attributes, so that the
// drawing can be saved without the page's style.
function drawn(mark, u) {
  const text = (x, y, words, fill = "#fff") => {
    const width = (words.length * 7.4 + 12) * u;
    return [
      svg("rect", { x: x - width / 2, y: y - 10 * u, width, height: 20 * u, rx: 10 * u, fill: mark.color, stroke: "#fff", "stroke-width": 1.5 * u }),
      svg("text", { x, y: y + 4.5 * u, fill, "font-size": 12.5 * u, "font-weight": 600, "text-anchor": "middle", "font-family": "system-ui, sans-serif" }, words),
    ];
  };
  const line = (d, options = {}) => [
    svg("path", { d, stroke: "#fff", "stroke-width": 5 * u, fill: "none", "stroke-linecap": "round", opacity: 0.85 }),
    svg("path", { d, stroke: mark.color, "stroke-width": 2.5 * u, fill: "none", "stroke-linecap": "round", ...options }),
  ];
  if (mark.kind === "point") {
    const [x, y] = mark.xy;
    const dot = svg("circle", { cx: x, cy: y, r: 6 * u, fill: mark.color, stroke: "#fff", "stroke-width": 2 * u });
    // Beside the dot, on whichever side there is room.
    const side = x > 80 * u ? -1 : 1;
    return mark.label ? [dot, ...text(x + side * (mark.label.length * 3.7 + 18) * u, y, mark.label)] : [dot];
  }
  if (mark.kind === "cross") {
    const [x, y] = mark.xy;
    const s = 7 * u;
    return line(`M${x - s} ${y - s}l${2 * s} ${2 * s}M${x - s} ${y + s}l${2 * s} ${-2 * s}`);
  }
  if (mark.kind === "line") {
    const [[x0, y0], [x1, y1]] = mark.ends;
    const ends = mark.ends.map(([x, y]) => svg("circle", { cx: x, cy: y, r: 6 * u, fill: mark.color, stroke: "#fff", "stroke-width": 2 * u }));
    return [...line(`M${x0} ${y0}L${x1} ${y1}`), ...ends, ...(mark.label ? text((x0 + x1) / 2, (y0 + y1) / 2, mark.label) : [])];
  }
  const [x0, y0, x1, y1] = mark.box;
  const rect = `M${x0} ${y0}H${x1}V${y1}H${x0}Z`;
  const dashes = mark.dashed ? { "stroke-dasharray": `${6 * u} ${5 * u}` } : {};
  return [...(mark.dashed ? line(rect, dashes).slice(1) : line(rect)), ...(mark.label ? text(x0 + 16 * u, y0 + 12 * u, mark.label) : [])];
}
