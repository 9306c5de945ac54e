// The rules in force, with what each has matched.
import { html, useRef, useState } from "./lib/htm-preact.js";
import { bytes, number, plural } from "./format.js";
import { model, usePoll } from "./model.js";
import { Empty, Failure, Icon, Loading, Panel } from "./parts.js";

export function Rules() {
  usePoll("rules", 2);
  const { rules, rulesError } = model.use();
  const [sought, setSought] = useState("");
  const [never, setNever] = useState(false);
  const deltas = useDeltas(rules);
  const idle = rules?.rules.filter((r) => !r.packets).length ?? 0;
  const tools = html`
    <button class="chip" aria-pressed=${never} onClick=${() => setNever(!never)} id="never">never hit ${number(idle)}</button>
    <label class="find"><${Icon} name="search" /><span class="hidden">Find a rule</span>
      <input type="search" placeholder="rule, chain, nft text" value=${sought} onInput=${(e) => setSought(e.target.value)} data-find /></label>`;
  return html`<${Panel} id="rules-title" title="Rules" wide note=${rules && rules.generation > 0 && `generation ${rules.generation} · ${plural(rules.total, "rule")}`} tools=${tools}>
    ${rulesError && !rules ? html`<${Failure} what="The rules" why=${rulesError} />` : !rules ? html`<${Loading} what="rules" />`
      : html`<${Table} rules=${rules} deltas=${deltas} sought=${sought} never=${never} />`}
  </${Panel}>`;
}

const key = (r) => r.chain + "\n" + r.rule;

// useDeltas tells by how much each rule's packets grew since the last look.
function useDeltas(rules) {
  const last = useRef({ rules: null, generation: 0, packets: new Map(), deltas: new Map() });
  const l = last.current;
  if (!rules || rules === l.rules) return l.deltas;
  const packets = new Map(rules.rules.map((r) => [key(r), r.packets]));
  const same = rules.generation === l.generation;
  const deltas = new Map(rules.rules.map((r) => [key(r), same ? r.packets - (l.packets.get(key(r)) ?? r.packets) : 0]));
  last.current = { rules, generation: rules.generation, packets, deltas };
  return deltas;
}

function Table({ rules, deltas, sought, never }) {
  if (!rules.rules.length) return html`<${Empty} icon="open" title="No rule is in force">Everything passes. Apply a policy: moonlatch apply web.lua</${Empty}>`;
  const words = sought.toLowerCase().split(/\s+/).filter(Boolean);
  const shown = rules.rules.filter((r) => (!never || !r.packets) && words.every((w) => [r.chain, r.rule, ...r.nft].join(" ").toLowerCase().includes(w)));
  if (!shown.length) return html`<${Empty} icon="search" title="No rule matches">${never ? "Every rule that fits has matched something." : `None has “${sought}”.`}</${Empty}>`;
  const most = Math.max(...rules.rules.map((r) => r.packets), 1);
  let chain = "";
  return html`<div class="scroll"><table class="rules">
    <thead><tr><th scope="col">Rule</th><th scope="col" class="text">What it says</th><th scope="col" class="n">Packets</th><th scope="col" class="n">Now</th><th scope="col" class="n">Bytes</th></tr></thead>
    <tbody>${shown.map((r) => {
      const head = r.chain !== chain && html`<tr class="chain"><th colspan="5" scope="rowgroup">${r.chain}<small>${r.head.replace(/;\s*$/, "").replace(/;/g, " ·")}</small></th></tr>`;
      chain = r.chain;
      return html`${head}<${Row} key=${key(r)} rule=${r} delta=${deltas.get(key(r)) ?? 0} most=${most} />`;
    })}</tbody></table></div>
    ${rules.total > rules.rules.length && html`<p class="more">The first ${number(rules.rules.length)} of ${plural(rules.total, "rule")}.</p>`}`;
}

// VERDICTS have a sign of their own, so that colour is not needed.
const VERDICTS = { accept: "check", drop: "cross", reject: "back" };

function Row({ rule, delta, most }) {
  const text = rule.nft.map((l) => l.replace(/\s*\bcounter( packets \d+ bytes \d+)?\b/, "")).join("\n");
  const verdict = Object.keys(VERDICTS).find((v) => new RegExp(`\\b${v}\\b`).test(rule.nft.at(-1)?.replace(/"[^"]*"/g, ""))) ?? "";
  return html`<tr class=${"rule" + (rule.packets ? "" : " never")}>
    <th scope="row"><span class=${"verdict " + verdict}>${verdict ? html`<${Icon} name=${VERDICTS[verdict]} /><span class="hidden">${verdict}</span>` : ""}</span>${rule.rule}</th>
    <td class="text"><code>${text}</code></td>
    <td class="n">${rule.packets ? html`${number(rule.packets)}<meter min="0" max="1" value=${Math.log1p(rule.packets) / Math.log1p(most)} aria-hidden="true"></meter>` : html`<span class="tag">never hit</span>`}</td>
    <td class="n">${delta > 0 && html`<span class="delta">+${number(delta)}</span>`}</td>
    <td class="n">${rule.packets ? bytes(rule.bytes) : ""}</td>
  </tr>`;
}
