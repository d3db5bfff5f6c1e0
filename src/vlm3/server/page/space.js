// Points and lines in space on a plain canvas: turns by itself a little, by mouse, finger or keys.
// In the camera's frame: x right, y down, z forward, metres.

import { el } from "./words.js";

export class Space {
  constructor(words) {
    this.canvas = el("canvas", { class: "space", tabindex: "0", role: "img", "aria-label": words });
    this.points = [];
    this.lines = [];
    this.reset();
    this.still = matchMedia("(prefers-reduced-motion: reduce)").matches;
    this.#listen();
    this.watch = new ResizeObserver(() => this.#draw());
    this.watch.observe(this.canvas);
    this.#turn();
  }

  // points: [x, y, z, r, g, b]; lines: {path: [[x, y, z], ...], color, label}
  show(points, lines, { center, size, yaw = 0, pitch = -0.12 }) {
    Object.assign(this, { points, lines, center, size, yaw, pitch, home: { yaw, pitch } });
    this.#draw();
  }

  reset() {
    Object.assign(this, { center: [0, 0, 1], size: 1, zoom: 1, yaw: 0, pitch: 0, home: { yaw: 0, pitch: 0 } });
  }

  #turn() {
    const began = performance.now();
    const tick = (now) => {
      if (!this.canvas.isConnected && now - began > 2000) {
        this.watch.disconnect();
        return;
      }
      if (!this.still && this.canvas.isConnected) {
        this.yaw = this.home.yaw + 0.38 * Math.sin((now - began) / 1900);
        this.#draw();
      }
      requestAnimationFrame(tick);
    };
    requestAnimationFrame(tick);
  }

  #listen() {
    const { canvas } = this;
    let from = null;
    canvas.addEventListener("pointerdown", (event) => {
      this.still = true;
      from = [event.clientX, event.clientY, this.yaw, this.pitch];
      canvas.setPointerCapture(event.pointerId);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!from) return;
      this.yaw = from[2] - (event.clientX - from[0]) / 160;
      this.pitch = Math.min(Math.max(from[3] - (event.clientY - from[1]) / 160, -1.5), 1.5);
      this.#draw();
    });
    for (const kind of ["pointerup", "pointercancel"]) canvas.addEventListener(kind, () => (from = null));
    canvas.addEventListener(
      "wheel",
      (event) => {
        event.preventDefault();
        this.#zoomBy(Math.exp(-event.deltaY / 600));
      },
      { passive: false },
    );
    canvas.addEventListener("keydown", (event) => {
      const turns = { ArrowLeft: [0.12, 0], ArrowRight: [-0.12, 0], ArrowUp: [0, 0.1], ArrowDown: [0, -0.1] };
      if (turns[event.key]) {
        this.still = true;
        this.yaw += turns[event.key][0];
        this.pitch = Math.min(Math.max(this.pitch + turns[event.key][1], -1.5), 1.5);
      } else if (event.key === "+" || event.key === "=") this.#zoomBy(1.15);
      else if (event.key === "-") this.#zoomBy(1 / 1.15);
      else if (event.key === "0") Object.assign(this, { ...this.home, zoom: 1 });
      else return;
      event.preventDefault();
      this.#draw();
    });
  }

  #zoomBy(factor) {
    this.zoom = Math.min(Math.max(this.zoom * factor, 0.2), 12);
    this.#draw();
  }

  #draw() {
    const { canvas, center, size, zoom, yaw, pitch } = this;
    const ratio = Math.min(devicePixelRatio || 1, 2);
    const [width, height] = [canvas.clientWidth * ratio, canvas.clientHeight * ratio].map(Math.round);
    if (!width || !height) return;
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    const pen = canvas.getContext("2d");
    pen.clearRect(0, 0, width, height);
    const [cy, sy, cp, sp] = [Math.cos(yaw), Math.sin(yaw), Math.cos(pitch), Math.sin(pitch)];
    const away = 2.6 * size;
    const f = (zoom * 1.15 * Math.min(width, height * 1.3) * away) / (2 * size);
    const place = (x, y, z) => {
      const [dx, dy, dz] = [x - center[0], y - center[1], z - center[2]];
      const x1 = cy * dx + sy * dz;
      const z1 = -sy * dx + cy * dz;
      const y2 = cp * dy + sp * z1;
      const z2 = -sp * dy + cp * z1 + away;
      return z2 > 0.02 * size ? [width / 2 + (f * x1) / z2, height / 2 + (f * y2) / z2, z2] : null;
    };
    const seen = [];
    for (const p of this.points) {
      const at = place(p[0], p[1], p[2]);
      if (at) seen.push([at, p]);
    }
    seen.sort((a, b) => b[0][2] - a[0][2]);
    for (const [[x, y, z], p] of seen) {
      const side = Math.max(1.5 * ratio, (f * p[6]) / z);
      pen.fillStyle = `rgb(${p[3]},${p[4]},${p[5]})`;
      pen.fillRect(x - side / 2, y - side / 2, side, side);
    }
    pen.lineWidth = 1.6 * ratio;
    pen.font = `600 ${13 * ratio}px system-ui, sans-serif`;
    for (const line of this.lines) {
      const path = line.path.map((p) => place(...p)).filter(Boolean);
      if (path.length < 2) continue;
      pen.strokeStyle = pen.fillStyle = line.color;
      pen.setLineDash(line.dashed ? [5 * ratio, 5 * ratio] : []);
      pen.beginPath();
      path.forEach(([x, y], i) => (i ? pen.lineTo(x, y) : pen.moveTo(x, y)));
      pen.stroke();
      if (line.label) {
        const at = place(...line.at);
        if (at) pen.fillText(line.label, at[0] + 7 * ratio, at[1] - 7 * ratio);
      }
    }
  }
}

// The outline of a camera, `size` metres deep, moved by a 4x4 matrix.
export function frustum(camera, size, color, label, matrix) {
  const move = (p) => (matrix ? matrix.slice(0, 3).map((row) => row[0] * p[0] + row[1] * p[1] + row[2] * p[2] + row[3]) : p);
  const corner = (x, y) => move([((x - camera.cx_px) / camera.fx_px) * size, ((y - camera.cy_px) / camera.fy_px) * size, size]);
  const [w, h] = [camera.width_px, camera.height_px];
  const [a, b, c, d, o] = [corner(0, 0), corner(w, 0), corner(w, h), corner(0, h), move([0, 0, 0])];
  const up = move([((w / 2 - camera.cx_px) / camera.fx_px) * size, ((-0.18 * h - camera.cy_px) / camera.fy_px) * size, size]);
  return [
    { path: [a, b, c, d, a], color, label, at: o },
    { path: [a, o, b], color },
    { path: [c, o, d], color },
    { path: [a, up, b], color },
  ];
}
