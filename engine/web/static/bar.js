// The state bar: what is in force, for how long, and whether anything is amiss.
import { html } from "./lib/htm-preact.js";
import { ago, clock, isSet, number, span } from "./format.js";
import { model } from "./model.js";
import { Icon, useTick } from "./parts.js";

// Bar shows it all; on a small screen, a brief one shows only what decides.
export function Bar({ brief }) {
  useTick(1000);
  const { status } = model.use();
  if (!status) return null;
  const daemon = status.daemon;
  return html`<dl class=${"bar" + (brief ? " brief" : "")} aria-label="State">
    <${State} status=${status} />
    <${Fact} name="Policy" value=${policy(status)} />
    ${daemon && html`
      <${Fact} name="Bans" value=${number(daemon.bans)} />
      <${Drift} status=${status} />
      <${Fact} name="Events" value=${number(daemon.events)} more=${daemon.lost ? `${number(daemon.lost)} lost` : "none lost"} amiss=${daemon.lost > 0} />
      ${daemon.liveness && html`<${Lease} liveness=${daemon.liveness} />`}
      <${Fact} name="Daemon" value=${"up " + span((Date.now() - Date.parse(daemon.since)) / 1000)} more=${"pid " + daemon.pid} />`}
  </dl>
  ${status.note && html`<p class="amiss" role="alert"><${Icon} name="warn" /><span>${status.note[0].toUpperCase() + status.note.slice(1)}.</span></p>`}`;
}

function State({ status }) {
  const current = status.trial ?? status.confirmed;
  const [icon, text, tone] = {
    confirmed: ["shield", `Generation ${current?.generation}`, "ok"],
    trial: ["clock", `Generation ${current?.generation}`, "warn"],
    open: ["open", "Everything passes", "bad"],
  }[status.state];
  const more = { confirmed: "confirmed", trial: "on trial", open: current ? `generation ${current.generation} lets all through` : "no policy is in force" }[status.state];
  return html`<div class=${"fact state " + tone}><dt>In force</dt><dd><${Icon} name=${icon} /><span><b>${text}</b><small>${more}</small></span></dd></div>`;
}

function policy(status) {
  const g = status.trial ?? status.confirmed;
  if (!g) return html`<b>none</b>`;
  return html`<b>${g.policy}</b>${isSet(g.applied) && html`<small>${ago(g.applied)}${g.by && " by " + g.by}</small>`}`;
}

// Drift is whether the kernel holds what was applied.
function Drift({ status }) {
  if (!status.confirmed && !status.trial) return null;
  const drift = Boolean(status.daemon.drift);
  return html`<${Fact} name="Drift" value=${drift ? "Changed" : "None"} more=${drift ? "by somebody else" : "the rules are as applied"} amiss=${drift} />`;
}

function Lease({ liveness }) {
  const open = isSet(liveness.open_since);
  const more = open ? "ran out: everything passes" : liveness.failing ? "not renewed: " + liveness.failing : "of " + span(liveness.lease_seconds);
  return html`<${Fact} name="Lease" value=${open ? "0:00" : clock(liveness.left_seconds)} more=${more} amiss=${open || Boolean(liveness.failing)} />`;
}

function Fact({ name, value, more, amiss }) {
  return html`<div class=${"fact" + (amiss ? " bad" : "")} data-fact=${name}><dt>${name}</dt>
    <dd>${amiss && html`<${Icon} name="warn" />`}<span>${typeof value === "string" ? html`<b>${value}</b>` : value}${more && html`<small>${more}</small>`}</span></dd></div>`;
}
