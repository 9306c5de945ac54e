// Live events: what happens, filtered, searched, held still.
import { html, useEffect, useState } from "./lib/htm-preact.js";
import { feed, only, pause } from "./feed.js";
import { describe } from "./items.js";
import { moment, number, plural, time } from "./format.js";
import { why } from "./nav.js";
import { Empty, Icon, Panel } from "./parts.js";

const DRAWN = 200;

// CHIPS are the groups of what happens. None pressed means all.
const CHIPS = {
  dropped: ["Dropped", (i) => i.kind === "event" && /drop|reject/.test(i.event.verdict)],
  passed: ["Passed", (i) => i.kind === "event" && !/drop|reject/.test(i.event.verdict)],
  bans: ["Bans", (i) => ["ban", "unban", "would_ban", "refused", "brake"].includes(i.kind)],
  rules: ["Rules", (i) => ["apply", "extend", "confirm", "rollback", "trial_end", "reset", "drift", "lease"].includes(i.kind)],
  policy: ["Policy", (i) => ["fault", "notice", "list", "history"].includes(i.kind)],
};

export function Live() {
  const { rows, held, missed, paused, state, packets } = feed.use();
  const [pressed, setPressed] = useState(new Set());
  const [sought, setSought] = useState("");
  const toggle = (name) => {
    const next = new Set(pressed);
    next.delete(name) || next.add(name);
    setPressed(next);
  };
  const words = sought.toLowerCase().split(/\s+/).filter(Boolean);
  const fits = (i) => (!pressed.size || [...pressed].some((c) => CHIPS[c][1](i))) && words.every((w) => describe(i).text.includes(w));
  const shown = rows.filter(fits).slice(0, DRAWN);
  const note = paused ? html`paused · ${number(held.length)} new` : { opening: "connecting…", open: "", lost: "not connected; trying again…" }[state];
  const tools = html`
    <label class="find"><${Icon} name="search" /><span class="hidden">Find in the events</span>
      <input type="search" id="find-events" placeholder="address, port, rule" value=${sought} onInput=${(e) => setSought(e.target.value)} data-find /></label>
    <button id="pause" aria-pressed=${paused} onClick=${() => pause(!paused)}><${Icon} name=${paused ? "play" : "pause"} />${paused ? "Go on" : "Pause"}</button>`;
  return html`<${Panel} id="live-title" title="Live" note=${note} tools=${tools}>
    <div class="chips" role="group" aria-label="Show only">
      ${Object.entries(CHIPS).map(([name, [label]]) => html`<button class="chip" data-chip=${name} aria-pressed=${pressed.has(name)} onClick=${() => toggle(name)}>${label}</button>`)}
      ${Object.entries(packets).filter(([, v]) => v).map(([k, v]) => html`<button class="chip" aria-pressed="true" data-only=${k} onClick=${() => only({ ...packets, [k]: "" })} title="Show others again">${k} ${v}<${Icon} name="cross" /></button>`)}
    </div>
    ${shown.length ? html`<ol class="events" tabindex="0" aria-label="Events, newest first">${shown.map((i) => html`<${Item} key=${i.id} item=${i} />`)}</ol>`
      : html`<${Nothing} any=${rows.length > 0} />`}
    ${missed > 0 && html`<p class="more">${plural(missed, "packet event")} came too fast to be shown. The counters have them.</p>`}
  </${Panel}>`;
}

function Nothing({ any }) {
  if (any) return html`<${Empty} icon="search" title="Nothing fits">Press a chip again to show more, or change what you look for.</${Empty}>`;
  return html`<${Empty} icon="pulse" title="All quiet">Packets that rules with a stream log appear here, and bans, and changes of the rules.</${Empty}>`;
}

function Item({ item }) {
  const [open, setOpen] = useState(false);
  const d = describe(item);
  return html`<li class=${"event " + d.tone} data-kind=${item.kind}><details onToggle=${(e) => setOpen(e.target.open)}>
    <summary><time datetime=${item.time}>${time(item.time)}</time>
      <span class="what"><${Icon} name=${d.icon} /><span class="word">${d.word}</span></span>
      <span class="line">${d.line}</span><span class="where">${d.where}</span></summary>
    ${open && html`<${Details} item=${item} />`}
  </details></li>`;
}

function Details({ item }) {
  const part = item.event ?? item.ban ?? item.generation ?? item.drift ?? item.lease ?? item.fault ?? item.notice ?? {};
  const fields = Object.entries({ ...part, time: moment(item.time) }).filter(([, v]) => v !== "" && typeof v !== "object");
  const { src, dport, stream } = item.event ?? {};
  const target = src ?? item.ban?.target;
  const packets = feed.values.packets;
  return html`<div class="details"><dl>${fields.map(([k, v]) => html`<div><dt>${k.replaceAll("_", " ")}</dt><dd>${String(v)}</dd></div>`)}</dl>
    <div class="details-acts">
      ${src && html`<button data-add="src" onClick=${() => only({ ...packets, src })}>Only from ${src}</button>`}
      ${dport && html`<button data-add="port" onClick=${() => only({ ...packets, port: String(dport) })}>Only port ${dport}</button>`}
      ${stream && html`<button data-add="stream" onClick=${() => only({ ...packets, stream })}>Only stream ${stream}</button>`}
      ${target && html`<a href=${why(target)}>Why is ${target} banned?</a>`}
    </div></div>`;
}
