// How each thing that happens reads: a sign, a word, a line, and its tone.
import { isSet, span } from "./format.js";

const seen = new WeakMap();

// describe is { icon, word, line, where, tone, text }; text is what is searched.
export function describe(item) {
  let d = seen.get(item);
  if (!d) {
    const [icon, word, line, where, tone] = (READ[item.kind] ?? readOther)(item);
    d = { icon, word, line, where, tone, text: [word, line, where, item.event?.iif].join(" ").toLowerCase() };
    seen.set(item, d);
  }
  return d;
}

const VERDICTS = {
  accept: ["check", "passed", "good"],
  drop: ["cross", "dropped", "bad"],
  reject: ["back", "rejected", "bad"],
};

function packet({ event: e }) {
  const [icon, word, tone] = VERDICTS[e.verdict] ?? ["pulse", "logged", ""];
  const port = (a, p) => (p === undefined ? a : a.includes(":") ? `[${a}]:${p}` : `${a}:${p}`);
  const kind = [e.proto, e.icmp_type, e.flags].filter(Boolean).join(" ");
  const line = e.src ? `${e.src} → ${port(e.dst, e.dport)} ${kind}` : kind || "no address";
  return [icon, word, line, e.rule + (e.stream && e.stream !== e.rule ? ` · ${e.stream}` : ""), tone];
}

const banTime = (b, at) => (isSet(b.until) ? " for " + span((Date.parse(b.until) - Date.parse(at)) / 1000) : "");
const by = (x) => (x.by ? `by ${x.by}` : "");

const generation = (icon, word, tone, more = () => "") => ({ generation: g }) => [icon, word, `generation ${g.generation}${g.policy ? ` (${g.policy})` : ""}${more(g)}`, by(g), tone];

const READ = {
  event: packet,
  ban: ({ ban: b, time }) => ["ban", "banned", `${b.target}${banTime(b, time)}${b.why ? ": " + b.why : ""}`, by(b), "warn"],
  unban: ({ ban: b }) => ["check", "unbanned", `${b.target || "all"}${b.count ? ` (${b.count})` : ""}${b.reason ? ": " + b.reason : ""}`, by(b), "good"],
  would_ban: ({ ban: b, time }) => ["ban", "would ban", `${b.target}${banTime(b, time)}${b.why ? ": " + b.why : ""}`, by(b), ""],
  refused: ({ ban: b }) => ["warn", "not banned", `${b.target}: ${b.reason}`, by(b), "bad"],
  apply: generation("clock", "on trial", "warn"),
  extend: generation("clock", "extended", "warn"),
  confirm: generation("shield", "confirmed", "good"),
  rollback: generation("back", "rolled back", "warn"),
  trial_end: generation("back", "trial over", "bad", () => " was not confirmed in time"),
  reset: generation("open", "reset", "bad", () => " taken away: everything passes"),
  drift: ({ drift: d }) => ["warn", "drift", `${d.drift ?? "the rules were changed"} (${d.done.replaceAll("_", " ")})`, d.process ? `by ${d.process}` : "", "bad"],
  lease: ({ lease: l }) => ["warn", "lease", `${l.state}${l.why ? ": " + l.why : ""}`, "", l.state === "open" ? "bad" : "warn"],
  fault: ({ fault: f }) => ["warn", f.off ? "switched off" : "fault", `${f.callback}: ${f.message}`, f.at, "bad"],
};

function readOther({ kind, notice: n }) {
  return ["pulse", kind.replaceAll("_", " "), [n?.title, n?.text].filter(Boolean).join(": "), n ? by(n) : "", ""];
}
