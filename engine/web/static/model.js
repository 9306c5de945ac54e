// What the page knows. Whoever shows a part of it is told when it changes.
import { useEffect, useState } from "./lib/htm-preact.js";
import { get, Gone } from "./api.js";

// Model holds values by name.
export class Model {
  constructor(values) {
    this.values = values;
    this.watchers = new Set();
  }
  set(values) {
    Object.assign(this.values, values);
    for (const w of this.watchers) w();
  }
  // use makes a component show the values as they are now, and again when they change.
  use() {
    const [, redraw] = useState(0);
    useEffect(() => {
      const w = () => redraw((n) => n + 1);
      this.watchers.add(w);
      return () => this.watchers.delete(w);
    }, []);
    return this.values;
  }
}

export const model = new Model({
  status: null, // as /api/status tells it
  deadline: 0, // of the trial, by performance.now()
  changes: null, // what the trial changes
  bans: null,
  rules: null,
  faults: null, // of the policy, that are on record
  gone: false, // the daemon does not answer
  trouble: "", // what it answered instead of its status
  outcome: null, // how the last trial ended, as this page saw it
});

let asking = null;

// refresh asks for the status, and for what the trial changes when there is a new one.
export function refresh() {
  asking ??= askStatus().finally(() => (asking = null));
  return asking;
}

async function askStatus() {
  const before = model.values.status;
  try {
    const status = await get("status");
    const deadline = performance.now() + status.left_seconds * 1000;
    const said = outcome(before, status) ?? model.values.outcome;
    const stale = said && said.after !== status.confirmed?.generation; // others have come since
    model.set({ status, deadline, gone: false, trouble: "", outcome: stale ? null : said });
    if (status.trial && status.trial.generation !== model.values.changes?.trial.generation) await load("changes");
    if (!status.trial && model.values.changes) model.set({ changes: null });
  } catch (e) {
    if (e instanceof Gone) model.set({ gone: true });
    else model.set({ gone: false, trouble: e.message });
  }
}

// outcome tells what became of the trial that the page saw before.
function outcome(before, now) {
  const trial = before?.trial;
  if (!trial) return null;
  const n = trial.generation, after = now.confirmed?.generation;
  if (now.confirmed?.generation === n) return { good: true, after, text: `Generation ${n} is confirmed. It stays, also after a reboot.` };
  if (now.trial?.generation === n) return null;
  if (now.trial) return { good: true, after, text: `Generation ${now.trial.generation} has taken the place of generation ${n}.` };
  const rest = now.confirmed ? `Generation ${now.confirmed.generation} filters again.` : "Everything passes, as before.";
  return { good: false, after, text: `The trial of generation ${n} is over, unconfirmed. ${rest}` };
}

// load asks for a list. What fails is shown where the list would be.
export async function load(name) {
  try {
    model.set({ [name]: await get(name), [name + "Error"]: "" });
  } catch (e) {
    model.set({ [name + "Error"]: e.message });
  }
}

// usePoll loads a list now and every so often, while the page is looked at.
export function usePoll(name, seconds) {
  useEffect(() => {
    const ask = () => document.hidden || load(name);
    ask();
    const timer = setInterval(ask, seconds * 1000);
    return () => clearInterval(timer);
  }, []);
}
