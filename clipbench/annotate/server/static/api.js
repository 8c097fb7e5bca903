// Requests to the one server there is. An answer that is no success throws its message.

let annotator = sessionStorage.getItem("annotator") ?? localStorage.getItem("annotator") ?? ""; // a tab's own, or the last one

// Two browsers, or tabs, of one annotator work on different photographs.
function browserId() {
  let id = sessionStorage.getItem("browser");
  if (!id) {
    id = Array.from(crypto.getRandomValues(new Uint8Array(12)), (byte) => byte.toString(16).padStart(2, "0")).join("");
    sessionStorage.setItem("browser", id);
  }
  return id;
}

export function currentAnnotator() {
  return annotator;
}

export function rememberAnnotator(name) {
  annotator = name;
  sessionStorage.setItem("annotator", name);
  localStorage.setItem("annotator", name);
}

async function request(method, path, body, type) {
  const headers = { "X-Annotator": encodeURIComponent(annotator), "X-Browser": browserId() };
  if (type) headers["Content-Type"] = type;
  let answer;
  try {
    answer = await fetch(path, { method, headers, body });
  } catch {
    throw new Error("The server does not answer. Is it still running? Everything confirmed is saved.");
  }
  if (!answer.ok) {
    const problem = await answer.json().catch(() => ({}));
    throw new Error(problem.error ?? `The server answered ${answer.status}.`);
  }
  return answer;
}

export async function get(path) {
  return (await request("GET", path)).json();
}

export async function post(path, body = {}) {
  return (await request("POST", path, JSON.stringify(body), "application/json")).json();
}

// A mask goes out as PNG and comes back as one.
export async function postMask(path, blob) {
  return (await request("POST", path, blob, "image/png")).blob();
}

export async function saveMask(path, blob) {
  return (await request("POST", path, blob, "image/png")).json();
}

// Ask how a job stands until it has ended; `onProgress` sees every answer. Ended means done, failed or cancelled.
export async function follow(id, onProgress, wanted) {
  for (let wait = 60; ; wait = Math.min(wait * 1.5, 500)) {
    const job = await get(`/api/jobs/${encodeURIComponent(id)}`);
    if (!wanted()) return null;
    onProgress(job);
    if (["done", "failed", "cancelled"].includes(job.state)) return job;
    await new Promise((done) => setTimeout(done, wait));
  }
}

export function cancel(id) {
  return post(`/api/jobs/${encodeURIComponent(id)}/cancel`);
}
