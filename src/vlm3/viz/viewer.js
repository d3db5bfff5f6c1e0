"use strict";
// The page of viewer.py. Axes are the first camera's: x right, y down, z forward; metres.
(() => {
  const $ = (id) => document.getElementById(id);
  const data = JSON.parse($("data").textContent);
  const DISTANCE = ["#440154", "#472d7b", "#3b528b", "#2c728e", "#21918c", "#28ae80", "#5ec962", "#addc30", "#fde725"];
  const INTERVAL = ["#fff1d6", "#fdc78a", "#f68f54", "#d9542b", "#9c2a1f", "#561313"];
  const NAMES = ["A", "B"];
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  // --- the data ------------------------------------------------------------------------------
  function bytes(text) {
    const raw = atob(text), out = new Uint8Array(raw.length);
    for (let i = 0; i < raw.length; i++) out[i] = raw.charCodeAt(i);
    return out;
  }
  const maps = data.maps.map((m, index) => ({
    ...m, index, rgb: bytes(m.rgb), asked: bytes(m.asked),
    numbers: new Float32Array(bytes(m.numbers).buffer),
  }));
  const number = (m, cell, k) => m.numbers[6 * cell + k];
  const point = (m, cell) => [number(m, cell, 0), number(m, cell, 1), number(m, cell, 2)];
  const known = (m, cell) => Number.isFinite(number(m, cell, 3)) && Number.isFinite(number(m, cell, 2));
  const dot = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
  const sub = (a, b) => [a[0] - b[0], a[1] - b[1], a[2] - b[2]];
  const add = (a, b, t = 1) => [a[0] + t * b[0], a[1] + t * b[1], a[2] + t * b[2]];
  const length = (a) => Math.sqrt(dot(a, a));
  // Pixel centres of the cell, in the picture as it was given.
  const pixel = (m, cell) => [((cell % m.columns) + 0.5) * m.width / m.columns,
    (Math.floor(cell / m.columns) + 0.5) * m.height / m.rows];
  const ratio = (m, cell) => Math.log(number(m, cell, 5) / number(m, cell, 4));

  const where = []; // [map, cell] of every known point
  maps.forEach((m) => { for (let c = 0; c < m.columns * m.rows; c++) if (known(m, c)) where.push([m, c]); });
  const count = where.length;
  const place = new Float32Array(3 * count), span = new Float32Array(count), shade = new Uint8Array(3 * count);
  where.forEach(([m, c], i) => {
    place.set(point(m, c), 3 * i);
    span[i] = number(m, c, 3) * m.width / m.columns / m.f;
  });

  function quantile(values, q) {
    const sorted = values.filter(Number.isFinite).sort((a, b) => a - b);
    return sorted.length ? sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] : NaN;
  }
  const scales = {
    distance: { value: (m, c) => number(m, c, 3), stops: DISTANCE, ends: (v) => `${v.toFixed(1)} m` },
    interval: { value: ratio, stops: INTERVAL, ends: (v) => `×${Math.exp(v).toFixed(1)}` },
  };
  for (const scale of Object.values(scales)) {
    const values = where.map(([m, c]) => scale.value(m, c));
    scale.low = quantile(values, 0.02);
    scale.high = Math.max(quantile(values, 0.98), scale.low + 1e-6);
    scale.rgb = scale.stops.map((s) => [1, 3, 5].map((k) => parseInt(s.slice(k, k + 2), 16)));
  }
  function color(mode, m, cell) {
    const scale = scales[mode];
    if (!scale) return m.rgb.subarray(3 * cell, 3 * cell + 3);
    const value = (scale.value(m, cell) - scale.low) / (scale.high - scale.low);
    if (!Number.isFinite(value)) return [128, 128, 128];
    const at = Math.min(1, Math.max(0, value)) * (scale.rgb.length - 1);
    const k = Math.min(scale.rgb.length - 2, Math.floor(at)), part = at - k;
    return scale.rgb[k].map((v, j) => Math.round(v + part * (scale.rgb[k + 1][j] - v)));
  }

  // --- state ---------------------------------------------------------------------------------
  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const state = { map: maps[0], hover: null, picks: [], mode: "picture", size: 1, spin: !calm, eye: null };
  const home = () => {
    const m = maps[0], forward = m.axes[2];
    const reach = quantile(where.map(([w, c]) => dot(sub(point(w, c), m.center), forward)), 0.5) || 1;
    const middle = maps.reduce((sum, one) => add(sum, add(one.center, one.axes[2], Math.max(reach, 0.1)), 1 / maps.length), [0, 0, 0]);
    if (maps.length === 1) return { target: middle, far: 1.12 * Math.max(reach, 0.1), yaw: 0, pitch: 0.1, sway: 0 };
    const wide = quantile(where.map(([w, c]) => length(sub(point(w, c), middle))), 0.85) || 1;
    return { target: middle, far: 1.9 * wide, yaw: 0.4, pitch: 0.6, sway: 0 };
  };
  state.eye = home();

  // --- projection, shared by both renderers and by picking -----------------------------------
  const cloud = $("cloud"), over = $("over"), picture = $("picture");
  const size = { width: 1, height: 1, dpr: 1 };
  function lens() {
    const yaw = state.eye.yaw + 0.45 * Math.sin(state.eye.sway), pitch = state.eye.pitch;
    const cy = Math.cos(yaw), sy = Math.sin(yaw), cp = Math.cos(pitch), sp = Math.sin(pitch);
    const m = maps[0];
    return {
      rows: [[cy, 0, sy], [sp * sy, cp, -sp * cy], [-cp * sy, sp, cp * cy]],
      f: 0.92 * m.f * Math.min(size.width / m.width, size.height / m.height),
    };
  }
  function project(p, view) {
    const from = sub(p, state.eye.target), z = dot(view.rows[2], from) + state.eye.far;
    return [size.width / 2 + view.f * dot(view.rows[0], from) / z, size.height / 2 + view.f * dot(view.rows[1], from) / z, z];
  }

  // --- WebGL, by hand ------------------------------------------------------------------------
  const VERTEX = `
    attribute vec3 place; attribute vec3 shade; attribute float span;
    uniform vec3 row0, row1, row2, target; uniform vec2 scale; uniform float far, pixels;
    varying vec3 tint;
    void main() {
      vec3 from = place - target;
      float z = dot(row2, from) + far;
      float near = 0.02, deep = 2000.0;
      gl_Position = vec4(scale.x * dot(row0, from), -scale.y * dot(row1, from),
        ((deep + near) * z - 2.0 * deep * near) / (deep - near), z);
      gl_PointSize = clamp(span * pixels / max(z, near), 1.5, 64.0);
      tint = shade;
    }`;
  const FRAGMENT = "precision mediump float; varying vec3 tint; void main() { gl_FragColor = vec4(tint, 1.0); }";
  function webgl() {
    const gl = cloud.getContext("webgl", { antialias: true, alpha: true, preserveDrawingBuffer: true });
    if (!gl) return null;
    const program = gl.createProgram();
    for (const [kind, text] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]]) {
      const shader = gl.createShader(kind);
      gl.shaderSource(shader, text);
      gl.compileShader(shader);
      gl.attachShader(program, shader);
    }
    gl.linkProgram(program);
    if (!gl.getProgramParameter(program, gl.LINK_STATUS)) return null;
    gl.useProgram(program);
    const buffer = (name, values, width, kind, normal) => {
      const held = gl.createBuffer(), at = gl.getAttribLocation(program, name);
      gl.bindBuffer(gl.ARRAY_BUFFER, held);
      gl.bufferData(gl.ARRAY_BUFFER, values, gl.DYNAMIC_DRAW);
      gl.enableVertexAttribArray(at);
      gl.vertexAttribPointer(at, width, kind, normal, 0, 0);
      return held;
    };
    buffer("place", place, 3, gl.FLOAT, false);
    buffer("span", span, 1, gl.FLOAT, false);
    const shades = buffer("shade", shade, 3, gl.UNSIGNED_BYTE, true);
    const uniform = (name) => gl.getUniformLocation(program, name);
    gl.enable(gl.DEPTH_TEST);
    return {
      kind: "webgl",
      recolor() { gl.bindBuffer(gl.ARRAY_BUFFER, shades); gl.bufferSubData(gl.ARRAY_BUFFER, 0, shade); },
      draw(view) {
        gl.viewport(0, 0, cloud.width, cloud.height);
        gl.clearColor(0, 0, 0, 0);
        gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
        view.rows.forEach((row, k) => gl.uniform3fv(uniform(`row${k}`), row));
        gl.uniform3fv(uniform("target"), state.eye.target);
        gl.uniform1f(uniform("far"), state.eye.far);
        gl.uniform2f(uniform("scale"), 2 * view.f / size.width, 2 * view.f / size.height);
        gl.uniform1f(uniform("pixels"), 1.12 * state.size * view.f * size.dpr);
        gl.drawArrays(gl.POINTS, 0, count);
      },
    };
  }
  // --- and without it: the same points, farthest first ----------------------------------------
  function flat() {
    const pen = cloud.getContext("2d");
    if (!pen) return { kind: "none", recolor() {}, draw() {} };
    const order = Array.from({ length: count }, (_, i) => i);
    return {
      kind: "flat",
      recolor() {},
      draw(view) {
        pen.setTransform(size.dpr, 0, 0, size.dpr, 0, 0);
        pen.clearRect(0, 0, size.width, size.height);
        const at = where.map((_, i) => project(place.subarray(3 * i, 3 * i + 3), view));
        order.sort((a, b) => at[b][2] - at[a][2]);
        for (const i of order) {
          const [x, y, z] = at[i];
          if (z < 0.02) continue;
          const side = Math.min(64, Math.max(1.5, 1.12 * state.size * span[i] * view.f / z));
          pen.fillStyle = `rgb(${shade[3 * i]},${shade[3 * i + 1]},${shade[3 * i + 2]})`;
          pen.fillRect(x - side / 2, y - side / 2, side, side);
        }
      },
    };
  }
  let renderer = (location.hash !== "#flat" && webgl()) || flat();
  cloud.dataset.renderer = renderer.kind;
  if (renderer.kind === "flat") $("how").textContent += " Drawn without WebGL.";
  cloud.addEventListener("webglcontextlost", (event) => event.preventDefault());
  cloud.addEventListener("webglcontextrestored", () => { renderer = webgl() || renderer; recolor(); });

  function recolor() {
    where.forEach(([m, c], i) => shade.set(color(state.mode, m, c), 3 * i));
    renderer.recolor();
    const scale = scales[state.mode];
    $("legend").replaceChildren();
    if (scale && Number.isFinite(scale.low)) {
      const bar = document.createElement("i"), ends = document.createElement("span");
      bar.style.background = `linear-gradient(90deg, ${scale.stops.join(",")})`;
      for (const v of [scale.low, scale.high]) ends.append(Object.assign(document.createElement("b"), { textContent: scale.ends(v) }));
      const name = state.mode === "interval" ? "p90 over p10" : "distance from its camera";
      $("legend").append(name, bar, ends);
    }
    dirty = true;
  }

  // --- marks over the cloud ------------------------------------------------------------------
  function mark(pen, x, y, fill, name) {
    pen.beginPath();
    pen.arc(x, y, name ? 6 : 5, 0, 7);
    pen.fillStyle = fill;
    pen.fill();
    pen.lineWidth = 2;
    pen.strokeStyle = "#fff";
    pen.stroke();
    if (name) label(pen, x + 10, y - 10, name, fill);
  }
  function label(pen, x, y, text, fill) {
    pen.font = "600 13px system-ui, 'DejaVu Sans', sans-serif";
    const wide = pen.measureText(text).width;
    pen.fillStyle = fill;
    pen.fillRect(x - 5, y - 11, wide + 10, 20);
    pen.fillStyle = "#fff";
    pen.textBaseline = "middle";
    pen.fillText(text, x, y);
  }
  function line(pen, a, b, stroke, width, dash = []) {
    pen.beginPath();
    pen.moveTo(a[0], a[1]);
    pen.lineTo(b[0], b[1]);
    pen.setLineDash(dash);
    pen.lineWidth = width;
    pen.strokeStyle = stroke;
    pen.stroke();
    pen.setLineDash([]);
  }
  function drawOver(view) {
    const pen = over.getContext("2d");
    pen.setTransform(size.dpr, 0, 0, size.dpr, 0, 0);
    pen.clearRect(0, 0, size.width, size.height);
    const reach = (maps.length > 1 ? 0.08 : 0.06) * Math.max(state.eye.far, 0.3);
    const join = (a, b, ...rest) => {
      const [p, q] = [project(a, view), project(b, view)];
      if (p[2] > 0.05 && q[2] > 0.05) line(pen, p, q, ...rest);
    };
    for (const m of maps) {
      const ink = m === state.map ? css("--second") : css("--muted"), wide = m === state.map ? 2 : 1;
      const corners = m.corners.map((ray) => add(m.center, ray, reach));
      corners.forEach((corner, k) => { join(m.center, corner, ink, wide); join(corner, corners[(k + 1) % 4], ink, wide); });
    }
    if (state.hover && known(...state.hover)) {
      const [m, c] = state.hover, ray = sub(point(m, c), m.center), unit = ray.map((v) => v / length(ray));
      if (Number.isFinite(number(m, c, 4))) {
        join(add(m.center, unit, number(m, c, 4)), add(m.center, unit, number(m, c, 5)), "#fff", 6);
        join(add(m.center, unit, number(m, c, 4)), add(m.center, unit, number(m, c, 5)), css("--second"), 3);
      }
      const at = project(point(m, c), view);
      if (at[2] > 0.02) mark(pen, at[0], at[1], css("--second"));
    }
    const ends = state.picks.map(([m, c]) => point(m, c));
    if (ends.length === 2) { join(ends[0], ends[1], "#fff", 5); join(ends[0], ends[1], css("--accent"), 2.5); }
    ends.forEach((p, k) => { const at = project(p, view); if (at[2] > 0.02) mark(pen, at[0], at[1], css("--accent"), NAMES[k]); });
    if (ends.length === 2) {
      const at = project(ends[0].map((v, k) => (v + ends[1][k]) / 2), view);
      if (at[2] > 0.02) label(pen, at[0] + 8, at[1] + 16, `${length(sub(ends[0], ends[1])).toFixed(2)} m`, css("--accent"));
    }
  }

  // --- the picture ---------------------------------------------------------------------------
  maps.forEach((m) => { m.image = new Image(); m.image.onload = () => { dirty = true; }; m.image.src = m.picture; });
  // A pixel a cell, in the colours of the cloud.
  function tinted(m) {
    const cells = Object.assign(document.createElement("canvas"), { width: m.columns, height: m.rows });
    const pen = cells.getContext("2d"), pixels = pen.createImageData(m.columns, m.rows);
    for (let c = 0; c < m.columns * m.rows; c++) {
      pixels.data.set(known(m, c) ? color(state.mode, m, c) : [136, 136, 136], 4 * c);
      pixels.data[4 * c + 3] = 255;
    }
    pen.putImageData(pixels, 0, 0);
    return cells;
  }
  function drawPicture() {
    const m = state.map, wide = picture.width / size.dpr, tall = picture.height / size.dpr, pen = picture.getContext("2d");
    pen.setTransform(size.dpr, 0, 0, size.dpr, 0, 0);
    pen.clearRect(0, 0, wide, tall);
    if (m.image.complete && m.image.naturalWidth) pen.drawImage(m.image, 0, 0, wide, tall);
    const dx = wide / m.columns, dy = tall / m.rows;
    if (state.mode !== "picture") {
      pen.globalAlpha = 0.72;
      pen.imageSmoothingEnabled = false;
      pen.drawImage(tinted(m), 0, 0, wide, tall);
      pen.imageSmoothingEnabled = true;
      pen.globalAlpha = 1;
    }
    const middle = (c) => { const [x, y] = pixel(m, c); return [x * wide / m.width, y * tall / m.height]; };
    if (state.hover && state.hover[0] === m) {
      const [x, y] = middle(state.hover[1]), w = Math.max(dx, 9), h = Math.max(dy, 9);
      pen.lineWidth = 4; pen.strokeStyle = "#fff"; pen.strokeRect(x - w / 2, y - h / 2, w, h);
      pen.lineWidth = 2; pen.strokeStyle = "#0072b2"; pen.strokeRect(x - w / 2, y - h / 2, w, h);
    }
    const mine = state.picks.map(([n, c]) => (n === m ? middle(c) : null));
    if (mine[0] && mine[1]) { line(pen, mine[0], mine[1], "#fff", 4); line(pen, mine[0], mine[1], "#d55e00", 2); }
    mine.forEach((at, k) => { if (at) mark(pen, at[0], at[1], "#d55e00", NAMES[k]); });
  }

  // --- words ---------------------------------------------------------------------------------
  function tell(id, ...parts) {
    $(id).replaceChildren(...parts.map((part) => {
      const [tag, text] = Array.isArray(part) ? part : ["span", part];
      const node = document.createElement(tag);
      if (tag === "small") node.className = "muted";
      node.textContent = text;
      return node;
    }));
  }
  const metres = (v) => `${v.toFixed(2)} m`;
  function words() {
    const at = state.hover || state.picks[state.picks.length - 1];
    if (!at) {
      tell("read", ["small", "Nothing chosen yet."]);
      $("prompt").textContent = $("raw").textContent = "";
    } else {
      const [m, c] = at, [x, y] = pixel(m, c), which = m.raw.texts[m.raw.which[c]];
      const asked = m.prompts.middles[c];
      if (known(m, c)) {
        const interval = Number.isFinite(number(m, c, 4)) ? `  ·  80 % between ${metres(number(m, c, 4))} and ${metres(number(m, c, 5))}` : "";
        const z = dot(sub(point(m, c), m.center), m.axes[2]);
        tell("read", ["b", metres(number(m, c, 3))], ` from the camera${interval}`,
          ["small", `  ·  depth z ${metres(z)}  ·  pixel (${x.toFixed(0)}, ${y.toFixed(0)})${maps.length > 1 ? ` of ${m.name}` : ""}${m.asked[c] ? "" : "  ·  not asked: filled in from its neighbours"}`]);
      } else {
        tell("read", ["b", "no distance"], asked === null ? " here" : " could be read from the answer", ["small", `  ·  pixel (${x.toFixed(0)}, ${y.toFixed(0)})`]);
      }
      $("prompt").textContent = asked === null ? "(not asked: filled in from its neighbours)" : m.prompts.start + asked + m.prompts.end;
      $("raw").textContent = asked === null ? "–" : which || "(nothing)";
    }
    const picked = state.picks.map(([m, c], k) => `${NAMES[k]} at ${metres(number(m, c, 3))}`).join(", ");
    if (state.picks.length === 2) {
      const apart = length(sub(point(...state.picks[0]), point(...state.picks[1])));
      tell("measure", ["b", metres(apart)], " between A and B", ["small", `  ·  ${picked}  ·  Esc forgets them`]);
    } else if (state.picks.length === 1) tell("measure", `${picked}: now click the second point`);
    else tell("measure", ["small", "Click two points to measure between them."]);
  }

  // --- what people do ------------------------------------------------------------------------
  let dirty = true;
  function changed() { words(); dirty = true; }
  function hover(at) { state.hover = at; changed(); }
  function pick(at) {
    if (!at || !known(...at)) return;
    if (state.picks.length === 2) state.picks = [];
    state.picks.push(at);
    state.hover = at;
    spin(false);
    changed();
  }
  function spin(on) {
    state.spin = on;
    $("spin").setAttribute("aria-pressed", String(on));
    dirty = true;
  }
  function show(m) {
    state.map = m;
    state.hover = null;
    [...$("tabs").children].forEach((tab, k) => tab.setAttribute("aria-pressed", String(k === m.index)));
    resize();
    changed();
  }
  function cellAt(event) {
    const box = picture.getBoundingClientRect(), m = state.map;
    const column = Math.floor((event.clientX - box.left) / box.width * m.columns);
    const row = Math.floor((event.clientY - box.top) / box.height * m.rows);
    return column < 0 || row < 0 || column >= m.columns || row >= m.rows ? null : [m, row * m.columns + column];
  }
  picture.addEventListener("pointermove", (event) => hover(cellAt(event)));
  picture.addEventListener("pointerleave", () => hover(null));
  picture.addEventListener("click", (event) => pick(cellAt(event)));
  picture.addEventListener("keydown", (event) => {
    const m = state.map, steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const now = state.hover && state.hover[0] === m ? state.hover[1] : Math.floor(m.rows / 2) * m.columns + Math.floor(m.columns / 2);
    if (steps[event.key]) {
      const far = event.shiftKey ? 5 : 1;
      const column = Math.min(m.columns - 1, Math.max(0, now % m.columns + far * steps[event.key][0]));
      const row = Math.min(m.rows - 1, Math.max(0, Math.floor(now / m.columns) + far * steps[event.key][1]));
      hover([m, row * m.columns + column]);
    } else if (event.key === "Enter" || event.key === " ") pick([m, now]);
    else return;
    event.preventDefault();
  });
  addEventListener("keydown", (event) => {
    if (event.key === "Escape") { state.picks = []; hover(null); }
  });

  function nearest(event) {
    const box = cloud.getBoundingClientRect(), x = event.clientX - box.left, y = event.clientY - box.top, view = lens();
    let best = null, least = Infinity;
    for (let i = 0; i < count; i++) {
      const [px, py, z] = project(place.subarray(3 * i, 3 * i + 3), view);
      if (z < 0.02) continue;
      const off = Math.hypot(px - x, py - y), room = Math.max(7, 0.6 * state.size * span[i] * view.f / z);
      // In front counts first, then how near the pointer is.
      if (off < room && z * (1 + 0.05 * off / room) < least) { least = z * (1 + 0.05 * off / room); best = where[i]; }
    }
    return best;
  }
  const held = new Map();
  let moved = 0, pending = null;
  function zoom(by) { state.eye.far = Math.min(1000, Math.max(0.05, state.eye.far * by)); dirty = true; }
  cloud.addEventListener("pointerdown", (event) => {
    cloud.setPointerCapture(event.pointerId);
    held.set(event.pointerId, [event.clientX, event.clientY]);
    moved = 0;
    freeze();
  });
  function freeze() { state.eye.yaw += 0.45 * Math.sin(state.eye.sway); state.eye.sway = 0; spin(false); }
  cloud.addEventListener("pointermove", (event) => {
    const before = held.get(event.pointerId);
    if (!before) {
      if (!pending) requestAnimationFrame(() => { hover(nearest(pending)); pending = null; });
      pending = event;
      return;
    }
    const dx = event.clientX - before[0], dy = event.clientY - before[1];
    if (held.size === 2) {
      const other = [...held.entries()].find(([id]) => id !== event.pointerId)[1];
      const was = Math.hypot(before[0] - other[0], before[1] - other[1]);
      const is = Math.hypot(event.clientX - other[0], event.clientY - other[1]);
      if (was > 5 && is > 5) zoom(was / is);
    } else if (event.shiftKey || event.buttons & 6) {
      const view = lens(), step = state.eye.far / view.f;
      state.eye.target = add(add(state.eye.target, view.rows[0], -dx * step), view.rows[1], -dy * step);
    } else {
      state.eye.yaw -= 0.007 * dx;
      state.eye.pitch = Math.min(1.5, Math.max(-1.5, state.eye.pitch + 0.007 * dy));
    }
    moved += Math.abs(dx) + Math.abs(dy);
    held.set(event.pointerId, [event.clientX, event.clientY]);
    dirty = true;
  });
  for (const kind of ["pointerup", "pointercancel"]) cloud.addEventListener(kind, (event) => {
    if (kind === "pointerup" && moved < 5 && held.size === 1) pick(nearest(event));
    held.delete(event.pointerId);
  });
  cloud.addEventListener("pointerleave", () => { if (!held.size) hover(null); });
  cloud.addEventListener("contextmenu", (event) => event.preventDefault());
  cloud.addEventListener("wheel", (event) => { event.preventDefault(); freeze(); zoom(Math.exp(0.0012 * event.deltaY)); }, { passive: false });
  cloud.addEventListener("keydown", (event) => {
    const turn = { ArrowLeft: [0.08, 0], ArrowRight: [-0.08, 0], ArrowUp: [0, -0.08], ArrowDown: [0, 0.08] }[event.key];
    if (turn) { freeze(); state.eye.yaw += turn[0]; state.eye.pitch = Math.min(1.5, Math.max(-1.5, state.eye.pitch + turn[1])); }
    else if (event.key === "+" || event.key === "=") zoom(0.9);
    else if (event.key === "-") zoom(1 / 0.9);
    else if (event.key === "0") state.eye = home();
    else return;
    event.preventDefault();
    dirty = true;
  });
  $("color").addEventListener("change", (event) => { state.mode = event.target.value; recolor(); });
  $("size").addEventListener("input", (event) => { state.size = Number(event.target.value); dirty = true; });
  $("spin").addEventListener("click", () => spin(!state.spin));
  $("reset").addEventListener("click", () => { state.eye = home(); spin(false); });
  if (!Number.isFinite(scales.interval.low)) $("color").querySelector("[value=interval]").remove();
  if (maps.length > 1) maps.forEach((m) => {
    const tab = Object.assign(document.createElement("button"), { type: "button", textContent: m.name });
    tab.addEventListener("click", () => show(m));
    $("tabs").append(tab);
  });

  function resize() {
    size.dpr = Math.min(2, devicePixelRatio || 1);
    const wide = picture.clientWidth, m = state.map;
    picture.style.height = `${wide * m.height / m.width}px`;
    picture.width = Math.round(wide * size.dpr);
    picture.height = Math.round(wide * m.height / m.width * size.dpr);
    size.width = Math.max(1, cloud.clientWidth);
    size.height = Math.max(1, cloud.clientHeight);
    for (const canvas of [cloud, over]) {
      canvas.width = Math.round(size.width * size.dpr);
      canvas.height = Math.round(size.height * size.dpr);
    }
    dirty = true;
  }
  new ResizeObserver(resize).observe(document.querySelector("main"));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { dirty = true; });

  let last = 0;
  function frame(now) {
    if (state.spin) { state.eye.sway += Math.min(0.1, (now - last) / 1000) * 0.6; dirty = true; }
    last = now;
    if (dirty) {
      dirty = false;
      const view = lens();
      renderer.draw(view);
      drawOver(view);
      drawPicture();
    }
    requestAnimationFrame(frame);
  }
  recolor();
  spin(state.spin);
  show(maps[0]);
  requestAnimationFrame(frame);
})();
