// How numbers, times and addresses read.

const THIN = "\u202f";

// seconds left as a clock shows them: 0:47, 12:05, 1:02:05.
export function clock(seconds) {
  const s = Math.max(0, Math.ceil(seconds));
  const two = (n) => String(n).padStart(2, "0");
  const h = Math.floor(s / 3600), m = Math.floor(s / 60) % 60;
  return h > 0 ? `${h}:${two(m)}:${two(s % 60)}` : `${m}:${two(s % 60)}`;
}

const UNITS = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];

// span is a length of time in its two largest units: 2 h 5 min.
export function span(seconds) {
  let s = Math.max(0, Math.round(seconds));
  const out = [];
  for (const [name, size] of UNITS) {
    const n = Math.floor(s / size);
    if (n > 0) out.push(n + THIN + name);
    else if (out.length) break;
    s -= n * size;
    if (out.length === 2) break;
  }
  return out.join(" ") || "0" + THIN + "s";
}

export function ago(time) {
  const s = (Date.now() - Date.parse(time)) / 1000;
  return s < 2 ? "just now" : span(s) + " ago";
}

export function until(time) {
  const s = (Date.parse(time) - Date.now()) / 1000;
  return s <= 0 ? "over" : span(s);
}

// isSet tells a time from Go's zero time.
export function isSet(time) {
  return Boolean(time) && !time.startsWith("0001-");
}

const timeOfDay = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });
const dateAndTime = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium", hour12: false });

export const time = (t) => timeOfDay.format(new Date(t));
export const moment = (t) => dateAndTime.format(new Date(t));

// number groups its digits by threes.
export function number(n) {
  return String(Math.round(n ?? 0)).replace(/\B(?=(\d{3})+(?!\d))/g, THIN);
}

export function bytes(n) {
  const names = ["B", "kB", "MB", "GB", "TB"];
  let i = 0;
  for (; n >= 1000 && i < names.length - 1; i++) n /= 1000;
  return (i === 0 || n >= 100 ? Math.round(n) : n.toFixed(1)) + THIN + names[i];
}

export const plural = (n, one, many = one + "s") => number(n) + THIN + (n === 1 ? one : many);
