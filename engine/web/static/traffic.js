// What there was most of, and when: from the daemon's history.
import { html, useEffect, useState } from "./lib/htm-preact.js";
import { Chart } from "./chart.js";
import { get } from "./api.js";
import { ago, moment, number, plural } from "./format.js";
import { why } from "./nav.js";
import { Empty, Failure, Loading, Panel } from "./parts.js";

const SPANS = [["1h", "1 hour"], ["24h", "24 hours"], ["7d", "7 days"]];
const ASK_EVERY = 15_000;

export function Traffic() {
  const [span, setSpan] = useState("1h");
  const [found, setFound] = useState(null);
  const [trouble, setTrouble] = useState("");
  useEffect(() => {
    let here = true;
    const ask = async () => {
      if (document.hidden) return;
      try {
        const t = await get("traffic/" + span);
        if (here) setFound({ ...t, span });
        if (here) setTrouble("");
      } catch (e) {
        if (here) setTrouble(e.message);
      }
    };
    ask();
    const timer = setInterval(ask, ASK_EVERY);
    return () => {
      here = false;
      clearInterval(timer);
    };
  }, [span]);
  const tools = html`<div class="spans" role="group" aria-label="How far back">${SPANS.map(([name, label]) =>
    html`<button class="chip" data-span=${name} aria-pressed=${span === name} onClick=${() => setSpan(name)}>${label}</button>`)}</div>`;
  if (trouble && !found) return html`<${Panel} id="traffic-title" title="Traffic" wide tools=${tools}><${Failure} what="The history" why=${trouble} /></${Panel}>`;
  if (!found) return html`<${Panel} id="traffic-title" title="Traffic" wide tools=${tools}><${Loading} what="the history" /></${Panel}>`;
  return html`<${Panel} id="traffic-title" title="Traffic" wide note=${sums(found)} tools=${tools}>
      ${found.points?.length ? html`<${Chart} traffic=${found} /><${Marks} marks=${found.marks ?? []} />`
        : html`<${Empty} icon="chart" title="No history yet">The daemon writes it as packets are logged and bans made.</${Empty}>`}
    </${Panel}>
    <div class="tops">
      <${Top} id="sources" title="Sources" lines=${found.sources} link=${why} none="No packet was logged." />
      <${Top} id="ports" title="Ports" lines=${found.ports} none="No packet was logged." />
      <${Top} id="policies" title="Who bans" lines=${found.policies} bans none="Nobody was banned." />
    </div>`;
}

function sums({ points }) {
  const sum = (k) => (points ?? []).reduce((n, p) => n + p[k], 0);
  return `${plural(sum("events"), "event")} · ${number(sum("dropped"))} dropped by bans · ${plural(sum("bans"), "ban")}`;
}

const WORDS = { apply: "on trial", confirm: "confirmed", rollback: "rolled back", trial_end: "not confirmed in time", reset: "reset" };

function Marks({ marks }) {
  if (!marks.length) return null;
  return html`<ol class="marks" aria-label="Generations">${marks.slice(0, 6).map((m) =>
    html`<li><time title=${moment(m.time)}>${ago(m.time)}</time> ${m.generation ? `generation ${m.generation} ` : ""}${WORDS[m.kind] ?? m.kind}</li>`)}</ol>`;
}

function Top({ id, title, lines, link, bans, none }) {
  const list = lines ?? [];
  const of = (l) => (bans ? l.bans : l.events) ?? 0;
  const most = Math.max(...list.map(of), 1);
  return html`<${Panel} id=${id + "-title"} title=${title}>
    ${!list.length ? html`<${Empty} icon="chart" title="Nothing">${none}</${Empty}>` : html`<ol class="top-lines" data-top=${id}>${list.map((l) => html`<li key=${l.name}>
      <span class="top-name">${link ? html`<a class="address" href=${link(l.name)}>${l.name}</a>` : html`<b>${l.name || "by hand"}</b>`}${l.ports && html`<small>ports ${l.ports.replaceAll(",", ", ")}</small>`}</span>
      <span class="top-count">${number(of(l))}${!bans && l.bans > 0 && html`<small>${plural(l.bans, "ban")}</small>`}</span>
      <meter min="0" max=${most} value=${of(l)} aria-hidden="true"></meter>
    </li>`)}</ol>`}
  </${Panel}>`;
}
