// Asks the server. Waits and asks again when it is busy; says in words what went wrong.

let key = sessionStorage.getItem("vlm3-key") || "";

export class Problem extends Error {}

const pause = (seconds, signal) =>
  new Promise((done, stop) => {
    const timer = setTimeout(done, seconds * 1000);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      stop(signal.reason);
    });
  });

async function askForKey() {
  const dialog = document.getElementById("key-dialog");
  dialog.showModal();
  await new Promise((done) => dialog.addEventListener("close", done, { once: true }));
  if (dialog.returnValue !== "ok") return false;
  key = document.getElementById("key").value.trim();
  sessionStorage.setItem("vlm3-key", key);
  return key !== "";
}

async function send(path, body, signal) {
  try {
    return await fetch(path, {
      method: body ? "POST" : "GET",
      headers: { ...(body && { "Content-Type": "application/json" }), ...(key && { Authorization: `Bearer ${key}` }) },
      body: body && JSON.stringify(body),
      signal,
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Problem("The server does not answer. Is vlm3 app still running?");
  }
}

async function answered(path, body, { signal, busy } = {}) {
  for (let attempt = 0; ; attempt++) {
    const answer = await send(path, body, signal);
    if (answer.ok) return answer;
    if (answer.status === 401 && (await askForKey())) continue;
    if ([429, 503].includes(answer.status) && attempt < 8) {
      const seconds = Math.min(Number(answer.headers.get("Retry-After")) || 1, 30);
      busy?.(seconds);
      await pause(seconds, signal);
      continue;
    }
    let said = `The server answered ${answer.status}.`;
    try {
      said = (await answer.json()).error.message;
    } catch {
      // Something between here and the server answered in its own words.
    }
    throw new Problem(said);
  }
}

export const ask = async (path, body, options) => (await answered(path, body, options)).json();

export const askForFile = async (path, body, options) =>
  (await answered(path, body, options)).blob();

// What a plain GET gives.
export const fetched = (path) => answered(path);

// Lines of JSON as they come; returns the last one's result.
export async function askInLines(path, body, told, options) {
  const answer = await answered(path, { ...body, stream: true }, options);
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    let part;
    try {
      part = await reader.read();
    } catch (error) {
      if (options?.signal?.aborted) throw error;
      throw new Problem("The connection broke before the answer was complete. Ask again.");
    }
    text += part.value || "";
    const lines = text.split("\n");
    text = lines.pop();
    for (const line of lines) {
      const record = JSON.parse(line);
      if (record.error) throw new Problem(record.error.message);
      if (record.result) return record.result;
      told(record);
    }
    if (part.done) throw new Problem("The answer ended too early. Ask again.");
  }
}

export const readAsUrl = (blob) =>
  new Promise((done, stop) => {
    const reader = new FileReader();
    reader.onload = () => {
      // The server looks at the bytes; a type that the browser does not know would stop it earlier.
      const data = String(reader.result).replace(/^data:[^;,]*/, (head) =>
        head.startsWith("data:image/") ? head : "data:image/unknown",
      );
      done(data.includes(",") ? data : `${data};base64,`);
    };
    reader.onerror = () => stop(new Problem("The file cannot be read."));
    reader.readAsDataURL(blob);
  });
