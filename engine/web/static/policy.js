// What of the policy runs: detectors, handlers, timers, and how they failed.
import { html } from "./lib/htm-preact.js";
import { moment, number, plural } from "./format.js";
import { feed } from "./feed.js";
import { model, usePoll } from "./model.js";
import { Empty, Icon, Loading, Panel } from "./parts.js";

const KINDS = { detector: ["hit", "hits"], handler: ["call", "calls"], action: ["call", "calls"], timer: ["call", "calls"], check: ["call", "calls"] };

export function Policy() {
  const { status } = model.use();
  if (!status) return html`<${Loading} what="the policy" />`;
  const callbacks = status.daemon?.callbacks ?? [];
  const off = callbacks.filter((c) => c.off).length;
  return html`<${Panel} id="policy-title" title="Detectors, handlers, timers" wide
      note=${callbacks.length > 0 && `${status.daemon.policy} · generation ${status.daemon.generation}${off ? ` · ${off} switched off` : ""}`}>
    ${callbacks.length === 0 ? html`<${Empty} icon="code" title="The policy has none">Rules filter by themselves. A detector watches a stream: fw.detect.</${Empty}>`
      : html`<ul class="callbacks">${callbacks.map((c) => html`<${Callback} callback=${c} />`)}</ul>`}
  </${Panel}><${Faults} />`;
}

// Faults are those that the daemon tells of since it runs, and from the history those of before.
function Faults() {
  usePoll("faults", 60);
  const { faults: live } = feed.use(); // of the daemon that was before, too, where the page was open then
  const { faults: recorded, status } = model.use();
  const since = Date.parse(status.daemon.since);
  const now = live.filter((i) => Date.parse(i.time) >= since);
  const before = recorded?.faults.filter((f) => Date.parse(f.time) < since) ?? [];
  return html`<${Panel} id="faults-title" title="Errors" wide note=${now.length + before.length > 0 && "newest first"}>
    ${now.length + before.length === 0 && html`<${Empty} icon="check" title="No callback has failed">Errors of handlers, timers and checks appear here, with where they happened.</${Empty}>`}
    ${now.length > 0 && html`<ol class="faults">${now.map(({ id, time, fault: f }) =>
      html`<${Fault} key=${id} time=${time} what=${`${f.callback_kind} ${f.callback}`} at=${f.at} reason=${f.reason} message=${f.message} traceback=${f.traceback} off=${f.off} />`)}</ol>`}
    ${before.length > 0 && html`<h3 class="divider">Before the daemon was started</h3>
      <ol class="faults">${before.map((f) => html`<${Fault} key=${f.id} time=${f.time} what=${f.by} reason=${f.outcome} message=${f.why} traceback=${f.evidence} />`)}</ol>`}
  </${Panel}>`;
}

function Fault({ time, what, at, reason, message, traceback, off }) {
  const facts = [what, what.endsWith(at) ? "" : at, reason === "timeout" ? "it took too long" : "an error", moment(time), off && "switched off since"].filter(Boolean);
  return html`<li class="fault">
    <p><${Icon} name="warn" /><b>${message}</b></p>
    <p class="note">${facts.join(" · ")}</p>
    ${traceback && html`<pre>${traceback}</pre>`}
  </li>`;
}

function Callback({ callback: c }) {
  return html`<li class=${"callback" + (c.off ? " off" : "")}>
    <span class="kind">${c.kind}</span>
    <span class="name"><b>${c.name}</b>${c.place !== c.name && html`<small>${c.place}</small>`}</span>
    <span class="hits">${number(c.hits)} <small>${plural(c.hits, ...(KINDS[c.kind] ?? ["call", "calls"])).split("\u202f").at(-1)}</small></span>
    <span class="run">${c.off ? html`<${Icon} name="warn" />switched off: it kept failing` : html`<${Icon} name="check" />runs`}</span>
  </li>`;
}
