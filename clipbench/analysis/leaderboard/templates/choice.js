// What the reader has chosen, a task and a model, kept in the address: #task=scenes_color&model=org/name
import { data } from "./dom.js";

const listeners = [];
const fromAddress = () => new URLSearchParams(location.hash.slice(1));
const modelNamed = (name) => data.models.findIndex(({ label, short }) => label === name || short === name);

export const chosen = { task: null, model: null };
export const onChoice = (listener) => listeners.push(listener);

export function choose(change) {
  Object.assign(chosen, change);
  const address = new URLSearchParams();
  if (chosen.task) address.set("task", chosen.task);
  if (chosen.model !== null) address.set("model", data.models[chosen.model].label);
  history.replaceState(null, "", `#${address}`);
  for (const listener of listeners) listener(change);
}

export function followAddress() {
  const address = fromAddress();
  const [task, model] = [address.get("task"), modelNamed(address.get("model"))];
  if (!(task in data.tasks) && model < 0) return;
  choose({ ...(task in data.tasks ? { task } : {}), ...(model >= 0 ? { model } : {}) });
  document.getElementById(model >= 0 && !(task in data.tasks) ? "scores" : "breakdown").scrollIntoView();
}
