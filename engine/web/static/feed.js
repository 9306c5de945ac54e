// What happens, as the daemon tells it: kept in bounded lists, newest first.
import { load, Model, model, refresh } from "./model.js";

const KEPT = 400; // rows
const FAULTS = 30;
const HIDDEN = 60_000; // ms that a page nobody looks at goes on listening
const AGAIN = 5_000; // ms until one that was refused tries again

export const feed = new Model({
  rows: [],
  held: [], // what came while paused
  missed: 0, // packet events that came too fast to be shown
  faults: [],
  paused: false,
  state: "opening", // or open, lost
  packets: {}, // which packet events the daemon sends: stream, src, port
});

let source = null, last = "0", again = null, away = null;

export function listen() {
  open();
  let gone = false;
  model.watchers.add(() => {
    if (gone && !model.values.gone && !document.hidden) open(); // sooner than the browser would
    gone = model.values.gone;
  });
  document.addEventListener("visibilitychange", () => {
    clearTimeout(away);
    if (document.hidden) away = setTimeout(close, HIDDEN);
    else if (!source) open();
  });
}

function open() {
  close();
  const query = new URLSearchParams(Object.entries(feed.values.packets).filter(([, v]) => v));
  query.set("after", last);
  source = new EventSource("/api/events?" + query);
  source.onopen = () => feed.set({ state: "open" });
  source.onmessage = (e) => {
    last = e.lastEventId;
    took(JSON.parse(e.data));
  };
  source.onerror = () => {
    feed.set({ state: "lost" });
    if (source?.readyState !== EventSource.CLOSED) return; // it tries again by itself
    close();
    again = setTimeout(open, AGAIN);
  };
}

function close() {
  clearTimeout(again);
  source?.close();
  source = null;
}

// only asks for some of the packet events, and for those of before that fit.
export function only(packets) {
  last = "0";
  feed.set({ packets, rows: [], held: [], missed: 0, faults: [] });
  open();
}

export function pause(paused) {
  const { rows, held } = feed.values;
  feed.set(paused ? { paused } : { paused, rows: [...held, ...rows].slice(0, KEPT), held: [] });
}

// MOVES are what the state of the firewall changes by.
const MOVES = new Set(["apply", "extend", "confirm", "rollback", "trial_end", "reset", "drift", "lease"]);

function took({ items, missed }) {
  const v = feed.values;
  const came = items.reverse();
  const into = v.paused ? "held" : "rows";
  const faults = came.filter((i) => i.kind === "fault");
  feed.set({
    [into]: [...came, ...v[into]].slice(0, KEPT),
    missed: v.missed + missed,
    faults: faults.length ? [...faults, ...v.faults].slice(0, FAULTS) : v.faults,
  });
  const now = Date.now();
  const fresh = came.filter((i) => now - Date.parse(i.time) < 10_000);
  if (fresh.some((i) => MOVES.has(i.kind))) refresh();
  if (fresh.some((i) => i.kind === "ban" || i.kind === "unban")) soon();
}

let waiting = null;

// soon looks at the bans again, once for many changes.
function soon() {
  waiting ??= setTimeout(() => {
    waiting = null;
    load("bans");
  }, 1100); // the daemon's answer may be a second old
}
