// What of the policy runs: detectors, handlers, timers, and how they failed.
import { html } from "./lib/htm-preact.js";
import { moment, number, plural } from "./format.js";
import { feed } from "./feed.js";
import { model } from "./model.js";
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

function Faults() {
  const { faults } = feed.use();
  return html`<${Panel} id="faults-title" title="Errors" wide note=${faults.length > 0 && "newest first"}>
    ${faults.length === 0 ? html`<${Empty} icon="check" title="No callback has failed">Errors of handlers, timers and checks appear here, with where they happened.</${Empty}>`
      : html`<ol class="faults">${faults.map((i) => html`<${Fault} key=${i.id} fault=${i.fault} time=${i.time} />`)}</ol>`}
  </${Panel}>`;
}

function Fault({ fault: f, time }) {
  return html`<li class="fault">
    <p><${Icon} name="warn" /><b>${f.message}</b></p>
    <p class="note">${f.callback_kind} ${f.callback} · ${f.at} · ${f.reason === "timeout" ? "it took too long" : "an error"} · ${moment(time)}${f.off && " · switched off since"}</p>
    ${f.traceback && html`<pre>${f.traceback}</pre>`}
  </li>`;
}

function Callback({ callback: c }) {
  return html`<li class=${"callback" + (c.off ? " off" : "")}>
    <span class="kind">${c.kind}</span>
    <span class="name"><b>${c.name}</b><small>${c.place}</small></span>
    <span class="hits">${number(c.hits)} <small>${plural(c.hits, ...(KINDS[c.kind] ?? ["call", "calls"])).split("\u202f").at(-1)}</small></span>
    <span class="run">${c.off ? html`<${Icon} name="warn" />switched off: it kept failing` : html`<${Icon} name="check" />runs`}</span>
  </li>`;
}
