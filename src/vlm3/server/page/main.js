// The page: which pictures, which tool, the questions and the answers.

import { Problem, ask, askForFile, askInLines, readAsUrl } from "./api.js";
import { showFolder } from "./folder.js";
import { save, saveJson, savePicture } from "./files.js";
import { Space, frustum } from "./space.js";
import { Stage, color } from "./stage.js";
import { button, degrees, el, evidence, intervalBar, metres, range, short } from "./words.js";

const $ = (id) => document.getElementById(id);
const panel = $("panel");
const pictures = { a: null, b: null };
let about;
let tool;
let wantedFor = "a";

// What went wrong, and what is going on, said once.

function complain(error) {
  if (error?.name === "AbortError") return;
  const known = error instanceof Problem;
  if (!known) console.error(error);
  $("problem").hidden = false;
  $("problem").firstElementChild.textContent = known ? error.message : `Something went wrong in this page: ${error}`;
}
const calm = () => ($("problem").hidden = true);
const say = (words) => ($("live").textContent = words);
const busy = (seconds) => say(`The server is busy; asking again in ${seconds} seconds.`);

// Pictures.

const stages = {};
for (const letter of ["a", "b"]) {
  stages[letter] = new Stage(letter, {
    point: (x, y) => tool.point?.(letter, x, y),
    line: (from, to) => tool.line?.(from, to),
    box: (box) => tool.box?.(box),
    undo: () => tool.undo?.(),
    replace: (file) => (file ? choose(letter, file) : pick(letter)),
    camera: (fov) => setCamera(letter, fov),
  });
}

const sent = (letter) => {
  const { url, fov, intrinsics } = pictures[letter];
  return { url, ...(fov ? { fov_deg: fov } : intrinsics ? { intrinsics_px: intrinsics } : {}) };
};

async function open(letter, picture) {
  const known = pictures[letter];
  const { url, fov, intrinsics } = picture;
  const seen = await ask("v1/picture", {
    image: { url, ...(fov ? { fov_deg: fov } : intrinsics ? { intrinsics_px: intrinsics } : {}) },
    preview_side_px: known?.url === url ? 0 : 1600,
  }, { busy });
  pictures[letter] = { ...picture, camera: seen.camera, notes: seen.notes, preview: seen.preview_url || known.preview };
  stages[letter].show(pictures[letter]);
}

async function choose(letter, file) {
  calm();
  try {
    say(`Reading ${file.name}.`);
    await open(letter, { url: await readAsUrl(file), name: file.name });
    forget(letter);
    begin();
    say(`${file.name} is picture ${letter.toUpperCase()}.`);
  } catch (error) {
    complain(error instanceof Problem ? new Problem(`${file.name}: ${error.message}`) : error);
  }
}

function pick(letter) {
  wantedFor = letter;
  $("file").value = "";
  $("file").click();
}

async function setCamera(letter, fov) {
  try {
    await open(letter, { ...pictures[letter], fov });
    for (const one of tools) one.again?.();
    say(`Field of view of picture ${letter.toUpperCase()} is ${pictures[letter].camera.fov_deg.toFixed(0)} degrees.`);
  } catch (error) {
    complain(error);
  }
}

function forget(letter) {
  for (const one of tools) if (letter === "a" || one.pair) one.clear();
}

async function tryExample() {
  calm();
  try {
    const { files, cameras } = about.example;
    for (const [i, letter] of ["a", "b"].entries()) {
      const { fx_px, fy_px, cx_px, cy_px } = cameras[i];
      const blob = await (await fetch(`page/${files[i]}`)).blob();
      await open(letter, { url: await readAsUrl(blob), name: files[i], intrinsics: [fx_px, fy_px, cx_px, cy_px], example: true });
      forget(letter);
    }
    $("credit").textContent = `Example photographs: ${about.example.credit}.`;
    begin();
  } catch (error) {
    complain(error);
  }
}

const example = () => (pictures.a?.example && !pictures.a.fov ? about.example : null);
const examplePair = () => (example() && pictures.b?.example ? about.example : null);

function begin() {
  const first = !$("start").hidden;
  $("start").hidden = true;
  $("work").hidden = false;
  select(tool ?? tools[0], false);
  // What had the focus is gone; the picture is what comes next.
  if (first) stages.a.frame.focus({ preventScroll: true });
}

// A question under way: what is clicked meanwhile does not wait for it.

async function answer(item, path, body) {
  item.waiting = true;
  item.stop = new AbortController();
  show();
  try {
    item.answer = await ask(path, body, { signal: item.stop.signal, busy });
    calm();
  } catch (error) {
    item.failed = error instanceof Problem ? error.message : null;
    complain(error);
  }
  item.waiting = false;
  show();
  return item.answer;
}

const pending = (item) =>
  item.waiting ? el("p", { class: "waiting" }, "Asking") : item.failed ? el("p", { class: "warn" }, item.failed) : null;

const dot = (index, words = String(index + 1)) => {
  const node = el("span", { class: "dot" }, words);
  node.style.background = color(index);
  return node;
};

const removeButton = (words, click) => button("✕", click, { class: "quiet", "aria-label": `Remove ${words}` });

const measured = (words) => (words ? el("p", { class: "measured" }, "Measured here: ", el("b", {}, words)) : null);

const places = (title, items, chosen) =>
  items.length
    ? el("div", {}, el("h3", {}, title), el("div", { class: "choices" }, items.map((item) => button(item.label, () => chosen(item)))))
    : null;

const notes = (items) => [...new Set(items.flatMap((item) => item?.notes ?? []))].map((note) => el("p", { class: "note" }, note));

const takeAway = (one, values, letter = "a") =>
  el("div", {}, el("h3", {}, "Take it away"),
    el("div", { class: "choices" },
      button("Answers, JSON", () => saveJson(values(), `${one.id}.json`)),
      button("Picture, PNG", () => savePicture(stages[letter], `${one.id}.png`).catch(complain)),
      button("Clear all", () => { one.clear(); show(); stages.a.frame.focus(); }, { class: "quiet" })));

// A canvas to turn, in a place of its own beside the pictures.
function spaceFigure(one, words) {
  one.space ??= new Space(`${words} Turn with the arrow keys, zoom with plus and minus, 0 goes back.`);
  one.figure ??= el("figure", { class: "stage whole" }, one.space.canvas,
    el("p", { class: "hint" }, "Drag to turn, wheel to zoom. Keyboard: arrows, plus and minus, 0."));
  if (one.figure.parentElement !== $("stages")) $("stages").append(one.figure);
}

// The tools. Each has: id, name, task, title, words; panel() gives the nodes beside the picture.

const POINT_KEYS = "Keyboard: arrows move a cross (with Shift by a pixel), Enter marks, Backspace takes back.";

const distance = {
  id: "distance", name: "Distance", task: "depth",
  title: "How far is it?", words: "Click where you want to know the distance.", keys: POINT_KEYS,
  points: [],
  clear() { this.points = []; },
  again() { for (const point of this.points) this.ask(point); },
  undo() { this.points.pop(); show(); },
  point(letter, x, y, label, truth) {
    const item = { xy: [x, y], label, truth };
    this.points.push(item);
    return this.ask(item);
  },
  async ask(item) {
    const found = await answer(item, "v1/depth", { image: sent("a"), points_px: [item.xy] });
    if (found) say(`Point ${this.points.indexOf(item) + 1}: ${metres(found.points[0].distance_m)}.`);
  },
  marks() {
    return { a: this.points.map((item, i) => ({ kind: "point", xy: item.xy, color: color(i), label: item.answer?.points[0].parsed ? `${i + 1} · ${metres(item.answer.points[0].distance_m)}` : `${i + 1}` })) };
  },
  panel() {
    const labelled = example()?.points.map((p) => ({ label: p.label, xy: p.xy_px, truth: p.distance_m })) ?? [];
    return [
      el("ol", { class: "answers" }, this.points.map((item, i) => this.line(item, i)).reverse()),
      places("Places whose distance was measured", labelled, (p) => this.point("a", ...p.xy, p.label, p.truth)),
      ...notes(this.points.map((item) => item.answer)),
      this.points.length ? takeAway(this, () => this.points.map((p) => p.answer)) : null,
    ];
  },
  line(item, i) {
    const point = item.answer?.points[0];
    return el("li", { class: "answer" },
      el("div", { class: "head" }, dot(i), point ? el("span", { class: "big" }, metres(point.distance_m)) : null,
        el("span", { class: "what" }, item.label ?? `at ${item.xy.map((v) => v.toFixed(0)).join(", ")}`),
        removeButton(`point ${i + 1}`, () => { item.stop?.abort(); this.points.splice(this.points.indexOf(item), 1); show(); })),
      pending(item),
      point ? intervalBar(point.distance_m, point.interval_m, item.truth) : null,
      point && range(point.interval_m) ? el("p", { class: "muted" }, `Four times in five, the model says, it is ${range(point.interval_m)} away.`) : null,
      measured(item.truth && metres(item.truth)),
      point ? evidence(point.prompt, point.raw_text) : null);
  },
};

// A length with its interval, of the server's own names.
const tenths = (length) => ({ p10: length.p10_m, p90: length.p90_m });
const SHAPES = {
  line: {
    button: "A line", title: "How long is it?", words: "Drag a line, or click its two ends: the straight line between them, in space.",
    keys: "Keyboard: arrows move a cross (with Shift by a pixel), Enter at one end, Enter at the other, Backspace takes back.",
  },
  box: {
    button: "A box", title: "How large is it?", words: "Drag a box tightly around one thing: its width, its height, how far it is.",
    keys: "Keyboard: arrows move a cross, Enter at one corner, Enter at the other, Backspace takes back.",
  },
};

const measure = {
  id: "measure", name: "Measure", task: "depth", shape: "line",
  get mode() { return this.shape; },
  get title() { return SHAPES[this.shape].title; },
  get words() { return SHAPES[this.shape].words; },
  get keys() { return SHAPES[this.shape].keys; },
  items: [], first: null,
  clear() { this.items = []; this.first = null; },
  again() { for (const item of this.items) this.ask(item); },
  undo() { if (this.first) this.first = null; else this.items.pop()?.stop?.abort(); show(); },
  point(letter, x, y, truth) {
    const end = { xy: [x, y], truth };
    if (!this.first) { this.first = end; say("One end. Now the other."); show(); return; }
    const ends = [this.first, end];
    this.first = null;
    this.add({ ends });
  },
  line(from, to) { this.first = null; this.add({ ends: [{ xy: from }, { xy: to }] }); },
  box(box, width) { this.add({ box, width }); },
  add(item) {
    this.items.push(item);
    return this.ask(item);
  },
  async ask(item) {
    const what = item.box ? { boxes_px: [item.box] } : { pairs_px: [item.ends.map((end) => end.xy)] };
    const found = await answer(item, "v1/measure", { image: sent("a"), ...what });
    if (found) say(`${item.box ? "Box" : "Line"} ${this.items.indexOf(item) + 1}: ${this.short(item)}.`);
  },
  short(item) {
    const [span, region] = [item.answer?.spans[0], item.answer?.regions[0]];
    if (span) return metres(span.length.value_m);
    if (!region) return "";
    return region.width.value_m == null ? metres(null) : `${metres(region.width.value_m)} wide, ${metres(region.height.value_m)} high`;
  },
  truth(item) {
    if (item.box) return item.width ? `${metres(item.width)} wide` : null;
    if (item.ends.some((end) => !end.truth)) return null;
    const points = item.ends.map((end) => {
      const { fx_px, fy_px, cx_px, cy_px } = pictures.a.camera;
      const [x, y] = [(end.xy[0] - cx_px) / fx_px, (end.xy[1] - cy_px) / fy_px];
      const length = Math.hypot(x, y, 1);
      return [x, y, 1].map((v) => (v * end.truth) / length);
    });
    return metres(Math.hypot(...[0, 1, 2].map((k) => points[0][k] - points[1][k])));
  },
  marks() {
    const marks = this.items.map((item, i) => (item.box
      ? { kind: "box", box: item.box, color: color(i), label: `${i + 1}` }
      : { kind: "line", ends: item.ends.map((end) => end.xy), color: color(i), label: item.answer ? `${i + 1} · ${this.short(item)}` : `${i + 1}` }));
    return { a: this.first ? [...marks, { kind: "point", xy: this.first.xy, color: color(this.items.length), label: "" }] : marks };
  },
  panel() {
    const labelled = example()?.points.map((p) => ({ label: p.label, xy: p.xy_px, truth: p.distance_m })) ?? [];
    const objects = example()?.objects;
    const widths = objects?.questions.filter((q) => q.boxes.length === 1 && q.truth.value_m).map((q) => ({ ...objects.boxes[q.boxes[0]], width: q.truth.value_m })) ?? [];
    return [
      el("div", { class: "choices", role: "group", "aria-label": "What to draw" }, Object.entries(SHAPES).map(([shape, { button: words }]) =>
        button(words, () => { this.shape = shape; this.first = null; select(this, false); }, { "aria-pressed": String(this.shape === shape) }))),
      this.first ? el("p", { class: "muted" }, "One end is set. Now the other.") : null,
      el("ol", { class: "answers" }, this.items.map((item, i) => this.row(item, i)).reverse()),
      this.shape === "line"
        ? places("Places whose distance was measured", labelled, (p) => this.point("a", ...p.xy, p.truth))
        : places("Things whose width was measured", widths, (thing) => this.box(thing.xyxy_px, thing.width)),
      this.items.some((item) => item.answer) ? el("p", { class: "muted" }, "The intervals hold a length four times in five, says the model. A wrong field of view is not in them: it changes all lengths in proportion.") : null,
      ...notes(this.items.map((item) => item.answer)),
      this.items.length ? takeAway(this, () => this.items.map((item) => item.answer)) : null,
    ];
  },
  row(item, i) {
    const [span, region] = [item.answer?.spans[0], item.answer?.regions[0]];
    const what = item.box ? "box" : "line";
    const head = (length, words, ...rest) => el("div", { class: "head" }, el("span", { class: "big" }, metres(length.value_m)), el("span", { class: "what" }, words), ...rest);
    const spread = (length) => (range(tenths(length)) ? el("p", { class: "muted" }, range(tenths(length))) : null);
    return el("li", { class: "answer" },
      el("div", { class: "head" }, dot(i), span ? el("span", { class: "big" }, metres(span.length.value_m)) : null, el("span", { class: "what" }, item.box ? "size of what the box shows" : "in a straight line"),
        removeButton(`${what} ${i + 1}`, () => { item.stop?.abort(); this.items.splice(this.items.indexOf(item), 1); show(); })),
      pending(item),
      span ? spread(span.length) : null,
      region ? [["wide", region.width], ["high", region.height], ["away", region.distance]].flatMap(([words, length]) => [head(length, words), spread(length)]) : null,
      region ? el("p", { class: "muted" }, `${region.points} of ${region.asked} points lie on its surface.`) : null,
      measured(this.truth(item)),
      span ? [0, 1].map((k) => el("div", {}, el("p", { class: "muted" }, `End ${k + 1}: ${span.xyz_m[k] ? `${metres(Math.hypot(...span.xyz_m[k]))} from the camera` : metres(null)}`), evidence(span.prompt[k], span.raw_text[k]))) : null);
  },
};

const QUESTIONS = ["How wide is {0}?", "How tall is {0}?", "What is the distance between {0} and {1}?", "Is {0} to the left of {1}?", "Which is nearer to the camera, {0} or {1}?"];

const objects = {
  id: "objects", name: "Objects", task: "objects", mode: "box",
  title: "Ask about things", words: "Draw a box around each thing, then ask.", keys: "Keyboard: arrows move a cross, Enter at one corner, Enter at the other.",
  boxes: [], question: QUESTIONS[0], asked: [],
  clear() { this.boxes = []; this.asked = []; },
  box(box) {
    if (this.boxes.length >= about.limits.boxes) return;
    this.boxes.push(box);
    say(`Box ${this.boxes.length - 1}. Name it {${this.boxes.length - 1}} in the question.`);
    show();
  },
  undo() { this.boxes.pop(); show(); },
  async ask(truth) {
    const named = [...new Set([...this.question.matchAll(/\{(\d+)\}/g)].map((m) => Number(m[1])))].sort((a, b) => a - b);
    const absent = named.find((k) => k >= this.boxes.length);
    if (absent != null) return complain(new Problem(`The question names {${absent}}, but there is no box ${absent} yet: draw it in the picture.`));
    // Boxes that the question does not name stay out of it.
    const question = this.question.replace(/\{(\d+)\}/g, (_, k) => `{${named.indexOf(Number(k))}}`);
    const item = { question: this.question, truth };
    this.asked.unshift(item);
    const found = await answer(item, "v1/objects", { image: sent("a"), question, boxes_px: named.map((k) => this.boxes[k]) });
    if (found) say(`Answer: ${found.text || "not understood"}.`);
  },
  marks() {
    return { a: this.boxes.map((box, i) => ({ kind: "box", box, color: color(i), label: String(i) })) };
  },
  panel() {
    const field = el("textarea", { id: "question", rows: 2, maxlength: 1000, oninput: () => (this.question = field.value) });
    field.value = this.question;
    field.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && !event.shiftKey) { event.preventDefault(); this.ask(); }
    });
    const ready = example()?.objects.questions.map((q) => ({ label: q.question.replace(/\{(\d)\}/g, (_, k) => `the ${example().objects.boxes[q.boxes[k]].label}`), q })) ?? [];
    const set = (question) => { this.question = question; field.value = question; };
    return [
      el("div", {}, el("h3", {}, el("label", { for: "question" }, "Question, with {0}, {1} for the boxes")), field),
      el("div", { class: "row" }, button("Ask", () => this.ask(), { class: "primary" }), this.boxes.length ? button("Remove last box", () => this.undo(), { class: "quiet" }) : null),
      el("ol", { class: "answers" }, this.asked.map((item) => {
        const found = item.answer;
        const value = !found ? null : found.value_m != null ? metres(found.value_m) : found.clock_hour != null ? `${found.clock_hour} o'clock` : found.yes != null ? (found.yes ? "yes" : "no") : found.region != null ? `{${found.region}}` : null;
        return el("li", { class: "answer" },
          el("p", { class: "what" }, item.question), pending(item),
          found ? el("div", { class: "head" }, el("span", { class: "big" }, value ?? (found.text || "(nothing)"))) : null,
          found && value == null ? el("p", { class: "muted" }, "No length, hour, choice, yes or no could be read from that.") : null,
          measured(item.truth),
          found ? evidence(found.prompt, found.raw_text) : null);
      })),
      el("div", {}, el("h3", {}, "Ways to ask"), el("div", { class: "choices" }, QUESTIONS.map((q) => button(q, () => set(q))))),
      ready.length ? places("Asked of this photograph, with boxes and measured answer", ready, ({ q }) => {
        const boxes = example().objects.boxes;
        this.boxes = q.boxes.map((k) => boxes[k].xyxy_px);
        set(q.question);
        const { value_m, region, yes } = q.truth;
        this.ask(value_m != null ? metres(value_m) : region != null ? `{${region}}` : yes ? "yes" : "no");
      }) : null,
      ...notes(this.asked.map((item) => item.answer)),
      this.asked.length ? takeAway(this, () => this.asked.map((i) => i.answer)) : null,
    ];
  },
};

const match = {
  id: "match", name: "Match", task: "correspondence", pair: true,
  title: "Where is it in the other picture?", words: "Click a point in picture A; it is looked for in picture B.", keys: POINT_KEYS,
  points: [],
  clear() { this.points = []; },
  again() { for (const point of this.points) this.ask(point); },
  undo() { this.points.pop(); show(); },
  point(letter, x, y, label, truth) {
    if (letter === "b") return;
    if (!pictures.b) return complain(new Problem("Choose picture B first: a second photograph of the same place."));
    const item = { xy: [x, y], label, truth };
    this.points.push(item);
    return this.ask(item);
  },
  async ask(item) {
    const found = await answer(item, "v1/match", { image_a: sent("a"), image_b: sent("b"), points_px: [item.xy] });
    const to = found?.matches[0].xy_b_px;
    if (found) say(to ? `Point ${this.points.indexOf(item) + 1} is at ${to.map((v) => v.toFixed(0)).join(", ")} in picture B.` : "The answer was not understood.");
  },
  marks() {
    const b = [];
    for (const [i, item] of this.points.entries()) {
      const found = item.answer?.matches[0];
      const [x, y] = [found?.interval_x_px, found?.interval_y_px];
      if (x?.p10 != null && y?.p10 != null) b.push({ kind: "box", box: [x.p10, y.p10, x.p90, y.p90], color: color(i), dashed: true });
      if (item.truth) b.push({ kind: "cross", xy: item.truth, color: color(i) });
      if (found?.xy_b_px) b.push({ kind: "point", xy: found.xy_b_px, color: color(i), label: String(i + 1) });
    }
    return { a: this.points.map((item, i) => ({ kind: "point", xy: item.xy, color: color(i), label: String(i + 1) })), b };
  },
  panel() {
    const labelled = examplePair()?.matches.map((m) => ({ label: m.label, xy: m.xy_1_px, truth: m.xy_2_px })) ?? [];
    return [
      el("ol", { class: "answers" }, this.points.map((item, i) => {
        const found = item.answer?.matches[0];
        const off = found?.xy_b_px && item.truth ? Math.hypot(found.xy_b_px[0] - item.truth[0], found.xy_b_px[1] - item.truth[1]) : null;
        return el("li", { class: "answer" },
          el("div", { class: "head" }, dot(i), found ? el("span", { class: "big" }, found.xy_b_px ? found.xy_b_px.map((v) => v.toFixed(0)).join(", ") : "not understood") : null,
            el("span", { class: "what" }, item.label ?? "in picture B"),
            removeButton(`point ${i + 1}`, () => { item.stop?.abort(); this.points.splice(this.points.indexOf(item), 1); show(); })),
          pending(item),
          off != null ? el("p", { class: "measured" }, "Measured, the cross: ", el("b", {}, item.truth.map((v) => v.toFixed(0)).join(", ")), `; the answer is ${off.toFixed(0)} px off.`) : null,
          found ? evidence(found.prompt, found.raw_text) : null);
      }).reverse()),
      this.points.some((item) => item.answer?.matches[0].interval_x_px) ? el("p", { class: "muted" }, "The dashed boxes hold each coordinate four times in five, says the model.") : null,
      places("Places whose match was measured", labelled, (m) => this.point("a", ...m.xy, m.label, m.truth)),
      ...notes(this.points.map((item) => item.answer)),
      this.points.length ? takeAway(this, () => this.points.map((p) => p.answer), "b") : null,
    ];
  },
};

const motion = {
  id: "motion", name: "Motion", task: "pose", pair: true, mode: "none",
  title: "How did the camera move?", words: "From picture A to picture B: how it turned, which way it went, and how far.",
  item: null,
  clear() { this.item = this.shown = null; this.figure?.remove(); },
  again() { if (this.item) this.ask(); },
  async ask() {
    if (!pictures.b) return complain(new Problem("Choose picture B first: a second photograph of the same place."));
    this.item = {};
    const found = await answer(this.item, "v1/pose", { image_a: sent("a"), image_b: sent("b") });
    if (found) say(`Turned ${turned(found.yaw_pitch_roll_deg)}; moved ${moved(found)}.`);
  },
  marks: () => ({}),
  panel() {
    const found = this.item?.answer;
    const nodes = [button(found ? "Ask again" : "Ask", () => this.ask(), { class: "primary", disabled: this.item?.waiting })];
    if (this.item) nodes.push(pending(this.item));
    if (!found) return nodes;
    const truth = examplePair()?.cam1_from_cam2;
    nodes.push(
      el("div", { class: "answer" }, el("p", { class: "what" }, "Turned"), el("div", { class: "head" }, el("span", { class: "big" }, turned(found.yaw_pitch_roll_deg)))),
      el("div", { class: "answer" }, el("p", { class: "what" }, "Moved"), el("div", { class: "head" }, el("span", { class: "big" }, moved(found))),
        truth ? measured(`${metres(Math.hypot(...[0, 1, 2].map((k) => truth[k][3])))} (the grey camera)`) : null),
    );
    if (found.cam1_from_cam2) {
      spaceFigure(this, "Both cameras in space.");
      const step = Math.max(found.distance_m, truth ? Math.hypot(...[0, 1, 2].map((k) => truth[k][3])) : 0, 0.05);
      const size = 0.5 * step;
      const o = [0, 0, 0];
      const to = (m) => [m[0][3], m[1][3], m[2][3]];
      const lines = [
        ...frustum(pictures.a.camera, size, "#4dabf7", "A"),
        ...frustum(pictures.b.camera, size, "#ff922b", "B", found.cam1_from_cam2),
        { path: [o, to(found.cam1_from_cam2)], color: "#ff922b", dashed: true },
        ...(truth ? [...frustum(pictures.b.camera, size, "#adb5bd", "", truth), { path: [o, to(truth)], color: "#adb5bd", dashed: true }] : []),
      ];
      const ends = [o, to(found.cam1_from_cam2), ...(truth ? [to(truth)] : [])];
      const middle = o.map((_, k) => ends.reduce((sum, end) => sum + end[k], 0) / ends.length + (k === 2 ? size / 2 : 0));
      if (this.shown !== found) this.space.show([], lines, { center: middle, size: 1.1 * step, yaw: 0.7, pitch: -0.45 });
      this.shown = found;
    }
    nodes.push(...found.parts.map((part) => el("div", {}, el("h3", {}, part.component.replace("_", " ")), evidence(part.prompt, part.raw_text))),
      ...notes([found]),
      el("div", {}, el("h3", {}, "Take it away"), el("div", { class: "choices" }, button("Answers, JSON", () => saveJson(found, "motion.json")))));
    return nodes;
  },
};

function turned(angles) {
  if (!angles) return "not understood";
  const words = [["right", "left"], ["up", "down"], ["clockwise", "anticlockwise"]];
  return angles.map((v, i) => `${degrees(v)} ${words[i][v < 0 ? 1 : 0]}`).join(", ");
}
const moved = (found) => `${found.distance_m == null ? "an unknown way" : metres(found.distance_m)} ${found.direction_words ?? ""}`.trim();

const cloud = {
  id: "cloud", name: "Cloud", task: "depth", mode: "none",
  title: "The scene in space", words: "One question for every cell of a grid, then every answer as a point.",
  columns: 64, refine: true, colours: "picture", map: null, item: null,
  clear() { this.item?.stop?.abort(); this.map = this.item = this.shown = null; this.figure?.remove(); },
  again() { if (this.map) this.ask(); },
  body() {
    const { width_px: w, height_px: h } = pictures.a.camera;
    const rows = Math.min(Math.max(Math.round((this.columns * h) / w), 1), 512);
    return { image: sent("a"), columns: this.columns, rows, refine: this.refine };
  },
  async ask() {
    this.item?.stop?.abort();
    const item = (this.item = { waiting: true, stop: new AbortController(), answered: 0 });
    const body = this.body();
    item.of = body.columns * body.rows;
    show();
    try {
      const map = await askInLines("v1/depth_map", body, ({ answered }) => {
        item.answered = answered;
        if (item.bar) item.bar.value = answered;
        if (item.count) item.count.textContent = `${answered} of up to ${item.of} answers`;
      }, { signal: item.stop.signal, busy });
      if (this.item !== item) return;
      this.map = { ...map, asked_as: body };
      calm();
      say("The cloud is ready.");
    } catch (error) {
      complain(error);
    }
    item.waiting = false;
    show();
  },
  marks: () => ({}),
  panel() {
    const select = (label, value, options, change) => {
      const node = el("select", { onchange: () => change(node.value) }, options.map(([v, words]) => el("option", { value: v, selected: String(v) === String(value) }, words)));
      return el("label", {}, label, node);
    };
    const nodes = [
      el("div", { class: "row" },
        select("Grid", this.columns, [[32, "coarse"], [64, "medium"], [128, "fine"]], (v) => (this.columns = Number(v))),
        el("label", {}, el("input", { type: "checkbox", checked: this.refine, onchange: (event) => (this.refine = event.target.checked) }), "ask only where it changes")),
    ];
    if (this.item?.waiting) {
      const { item } = this;
      item.bar = el("progress", { max: item.of, value: item.answered, "aria-label": "Answers so far" });
      item.count = el("p", { class: "muted" }, `${item.answered} of up to ${item.of} answers`);
      nodes.push(item.bar, item.count, button("Stop", () => { item.stop.abort(); item.waiting = false; show(); }));
    } else nodes.push(button(this.map ? "Build again" : "Build the cloud", () => this.ask(), { class: "primary" }));
    if (!this.map) return nodes;
    spaceFigure(this, "The scene as points in space.");
    nodes.push(el("div", { class: "row" },
      select("Colour", this.colours, [["picture", "as the picture"], ["distance", "by distance"]], (v) => { this.colours = v; this.shown = null; show(); })));
    if (this.shown !== this.map) this.fill();
    this.shown = this.map;
    if (this.colours === "distance") nodes.push(el("div", { class: "legend" }, `${short(this.near)} m`, legend(), `${short(this.far)} m`));
    const asked = this.map.asked.flat().filter(Boolean).length;
    nodes.push(
      el("p", { class: "muted" }, `${asked} questions; ${this.map.asked.flat().length - asked} cells were filled in between. Each point is the median of what the model might have written.`),
      ...notes([this.map]),
      el("div", {}, el("h3", {}, "Take it away"), el("div", { class: "choices" },
        [["ply", "PLY"], ["glb", "GLB"], ["npz", "NPZ"], ["png", "Depth PNG"]].map(([format, words]) => button(words, async () => {
          try {
            save(await askForFile("v1/depth_map", { ...this.map.asked_as, format }, { busy }), `cloud.${format}`);
          } catch (error) {
            complain(error);
          }
        })), button("JSON", () => saveJson({ ...this.map, asked_as: undefined }, "cloud.json")))));
    return nodes;
  },
  fill() {
    const { columns, rows, distance_m, cameras: [camera] } = this.map;
    const canvas = Object.assign(document.createElement("canvas"), { width: columns, height: rows });
    const pen = canvas.getContext("2d", { willReadFrequently: true });
    pen.drawImage(stages.a.image, 0, 0, columns, rows);
    const rgb = pen.getImageData(0, 0, columns, rows).data;
    const known = distance_m.flat().filter((d) => d != null).sort((a, b) => a - b);
    if (!known.length) return this.space.show([], [], { center: [0, 0, 1], size: 1 });
    const [near, far] = [known[Math.floor(0.02 * known.length)], known[Math.floor(0.98 * known.length)]];
    Object.assign(this, { near, far });
    const points = [];
    for (let row = 0; row < rows; row++) {
      for (let column = 0; column < columns; column++) {
        const d = distance_m[row][column];
        if (d == null) continue;
        const x = (((column + 0.5) * camera.width_px) / columns - camera.cx_px) / camera.fx_px;
        const y = (((row + 0.5) * camera.height_px) / rows - camera.cy_px) / camera.fy_px;
        const z = d / Math.hypot(x, y, 1);
        const at = 4 * (row * columns + column);
        const c = this.colours === "picture" ? rgb.slice(at, at + 3) : ramp(Math.log(d / near) / Math.log(Math.max(far / near, 1.01)));
        points.push([x * z, y * z, z, c[0], c[1], c[2], (1.15 * z * camera.width_px) / columns / camera.fx_px]);
      }
    }
    const depth = points.map((p) => p[2]).sort((a, b) => a - b);
    const middle = depth[Math.floor(depth.length / 2)];
    const half = (middle * camera.width_px) / camera.fx_px / 2;
    this.space.show(points, frustum(camera, 0.12 * middle, "#868e96", ""), { center: [0, 0, middle], size: Math.max(half, (far - near) / 2) });
  },
};

// Near is warm, far is cold; even in lightness (viridis, turned round).
const RAMP = [[253, 231, 37], [122, 209, 81], [34, 168, 132], [42, 120, 142], [65, 68, 135], [68, 1, 84]];
function ramp(part) {
  const at = Math.min(Math.max(part, 0), 0.9999) * (RAMP.length - 1);
  const [low, high] = [RAMP[Math.floor(at)], RAMP[Math.ceil(at)]];
  return low.map((v, k) => Math.round(v + (high[k] - v) * (at % 1)));
}
function legend() {
  const canvas = Object.assign(document.createElement("canvas"), { width: 200, height: 1 });
  const pen = canvas.getContext("2d");
  for (let x = 0; x < 200; x++) {
    pen.fillStyle = `rgb(${ramp(x / 199)})`;
    pen.fillRect(x, 0, 1, 1);
  }
  return canvas;
}

const tools = [distance, measure, objects, match, motion, cloud];

// What is seen.

function select(one, focus = true) {
  tool = one;
  for (const tab of $("tools").children) {
    const chosen = tab.id === `tool-${one.id}`;
    tab.setAttribute("aria-selected", chosen);
    tab.tabIndex = chosen ? 0 : -1;
    if (chosen && focus) tab.focus();
    if (chosen) tab.scrollIntoView({ block: "nearest", inline: "nearest" });
  }
  panel.setAttribute("aria-labelledby", `tool-${one.id}`);
  $("stages").replaceChildren(stages.a.node, ...(one.pair ? [stages.b.node] : []));
  $("stages").className = `stages ${one.id}`;
  stages.a.allow(one.mode ?? "point", one.words, one.keys);
  stages.b.allow("none", "the other picture", "");
  for (const letter of ["a", "b"]) stages[letter].show(pictures[letter]);
  show();
}

// Everything beside the pictures is made anew; what had the focus, or was open, has it again.
function show() {
  const active = document.activeElement;
  const place = panel.contains(active) ? [...panel.querySelectorAll("button, textarea, select, input, summary")].indexOf(active) : -1;
  const words = active?.textContent;
  const opened = new Set([...panel.querySelectorAll("details[open]")].map((d) => d.textContent));
  const field = active?.id === "question" ? [active.selectionStart, active.selectionEnd] : null;
  panel.replaceChildren(
    el("div", {}, el("h2", {}, tool.title), el("p", { class: "muted" }, tool.words)),
    ...tool.panel().flat().filter(Boolean),
  );
  for (const details of panel.querySelectorAll("details")) if (opened.has(details.textContent)) details.open = true;
  const marks = tool.marks();
  for (const letter of ["a", "b"]) stages[letter].mark(marks[letter] ?? []);
  if (place < 0) return;
  const now = [...panel.querySelectorAll("button, textarea, select, input, summary")];
  const same = (field && $("question")) || now.find((node) => node.tagName === active.tagName && node.textContent === words) || now[Math.min(place, now.length - 1)];
  same?.focus({ preventScroll: true });
  if (field) $("question").setSelectionRange(...field);
}

async function start() {
  about = await (await fetch("page/about.json")).json();
  $("model").hidden = false;
  $("model").append("model ", el("b", {}, about.model), ` · protocol ${about.protocol}`);
  if (about.model === "nano") {
    $("caution").hidden = false;
    $("caution").textContent = "nano is the small model that comes with the package, trained without one photograph: in rooms about half of its distances are within a factor 1.25, on roads few. For good ones, start with --model and a trained checkpoint.";
  }
  for (const [i, one] of tools.entries()) {
    const able = about.tasks.includes(one.task);
    $("tools").append(el("button", {
      type: "button", role: "tab", id: `tool-${one.id}`, "aria-controls": "panel", "aria-selected": "false", disabled: !able,
      title: able ? null : `This model has no prompt for that (protocol ${about.protocol}).`,
      onclick: () => select(one),
      onkeydown: (event) => {
        const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
        if (!step) return;
        event.preventDefault();
        for (let k = i + step; tools[k]; k += step) if (about.tasks.includes(tools[k].task)) return select(tools[k]);
      },
    }, one.name));
  }
  tool = tools.find((one) => about.tasks.includes(one.task));
  if (about.pictures) await showFolder($("folder"), async (file) => {
    await choose(pictures.a && tool.pair ? "b" : "a", file);
    $("work").scrollIntoView();
  }, complain);
}

$("problem").querySelector("button").addEventListener("click", calm);
$("choose").addEventListener("click", () => pick("a"));
$("try").addEventListener("click", tryExample);
$("file").addEventListener("change", () => $("file").files.length && choose(wantedFor, $("file").files[0]));
for (const kind of ["dragenter", "dragover", "dragleave", "drop"]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    $("choose").classList.toggle("over", kind === "dragover" || kind === "dragenter");
    if (kind === "drop" && !$("start").hidden && event.dataTransfer.files.length) choose("a", event.dataTransfer.files[0]);
  });
}
document.addEventListener("paste", (event) => {
  const file = [...event.clipboardData.files].find((one) => one.type.startsWith("image/"));
  if (file) choose("a", file);
});
start().catch((error) => complain(error instanceof TypeError ? new Problem("The server does not answer. Is vlm3 app still running?") : error));
