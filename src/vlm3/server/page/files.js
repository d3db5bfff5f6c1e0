// What can be taken away: answers as JSON, the picture with its marks as PNG, files from the server.

import { svg } from "./words.js";

export function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

export const saveJson = (value, name) =>
  save(new Blob([JSON.stringify(value, null, 1)], { type: "application/json" }), name);

export async function savePicture(stage, name) {
  const { width_px: width, height_px: height } = stage.picture.camera;
  const scale = Math.min(1, 2048 / Math.max(width, height));
  const canvas = Object.assign(document.createElement("canvas"), {
    width: Math.round(width * scale),
    height: Math.round(height * scale),
  });
  const pen = canvas.getContext("2d");
  pen.drawImage(stage.image, 0, 0, canvas.width, canvas.height);
  const layer = stage.layer.cloneNode(true);
  const whole = svg("svg", { viewBox: `0 0 ${width} ${height}`, width: canvas.width, height: canvas.height }, [...layer.childNodes]);
  const marks = new Image();
  marks.src = "data:image/svg+xml;charset=utf-8," + encodeURIComponent(new XMLSerializer().serializeToString(whole));
  await marks.decode();
  pen.drawImage(marks, 0, 0, canvas.width, canvas.height);
  canvas.toBlob((blob) => save(blob, name), "image/png");
}
