// All that is known of one address: whether it is banned, why, and what else
// decides about its packets.
import { html, useEffect, useState } from "./lib/htm-preact.js";
import { act } from "./acts.js";
import { get } from "./api.js";
import { AddBan } from "./bans.js";
import { isSet, moment, number, span } from "./format.js";
import { Empty, Failure, Icon, Loading, Panel } from "./parts.js";

export function Why({ target }) {
  const [answer, setAnswer] = useState(null);
  const [trouble, setTrouble] = useState("");
  const [banning, setBanning] = useState(false);
  const ask = async () => {
    try {
      const found = await get("explain?target=" + encodeURIComponent(target));
      setAnswer(found);
      setTrouble("");
    } catch (e) {
      setTrouble(e.message);
    }
  };
  useEffect(() => {
    setAnswer(null);
    setTrouble("");
    if (target) ask();
  }, [target]);
  const protect = async () => (await act("protect", { target, note: "protected on the web page" }, `${target} is protected: it can never be banned.`)) && ask();
  const banned = (done) => {
    setBanning(false);
    if (done) ask();
  };
  if (!target) return html`<${Empty} icon="search" title="Which address?">Type one at the top of the page.</${Empty}>`;
  return html`<${Panel} id="why-title" title=${target} note=${answer && verdict(answer)} wide tools=${html`<button onClick=${ask}>Ask again</button>
      ${answer && !trouble && !answer.protected?.length && html`<button onClick=${protect} data-protect>Protect</button>`}
      ${answer && !trouble && !answer.bans?.length && html`<button onClick=${() => setBanning(true)} data-ban><${Icon} name="plus" />Ban</button>`}`}>
    ${trouble ? html`<${Failure} what="The answer" why=${trouble} />` : !answer ? html`<${Loading} what="what is known" />` : html`<${Answer} answer=${answer} again=${ask} />`}
    ${banning && html`<${AddBan} of=${target} onClose=${banned} />`}
  </${Panel}>
  ${answer && !trouble && html`<${Past} of=${target} entries=${answer.past ?? []} why=${answer.past_error} />`}`;
}

function verdict(a) {
  if (a.protected?.length) return "protected: it is never banned";
  if (a.bans?.length) return "banned";
  return "not banned";
}

function Answer({ answer: a, again }) {
  const unban = async (target) => (await act("unban", { target }, `${target} is not banned any more.`)) && again();
  const at = [a.country, a.asn && `AS${a.asn} ${a.network || ""}`].filter(Boolean).join(", ");
  return html`<div class="why-answer">
    ${at && html`<p class="note">${at}</p>`}
    ${a.protected?.map((p) => html`<section class="reason good"><${Icon} name="shield" /><div><h3>Protected</h3><p>${p.target} by ${p.by}. Whatever bans there are, its packets pass them.</p></div></section>`)}
    ${a.bans?.map((b) => html`<section class="reason bad"><${Icon} name="ban" /><div>
      <h3>Banned${b.target !== a.target && ` as part of ${b.target}`}, ${isSet(b.until) ? `for another ${span((Date.parse(b.until) - Date.now()) / 1000)}` : "for ever"}</h3>
      <p>${b.why?.trim() || "No reason was given"}. By ${b.by}${b.place && html` at <code>${b.place}</code>`}${isSet(b.since) && `, since ${moment(b.since)}`}.</p>
      ${b.evidence && html`<${Evidence} evidence=${b.evidence} />`}
      <button onClick=${() => unban(b.target)} data-unban>Unban</button></div></section>`)}
    ${!a.protected?.length && !a.bans?.length && html`<section class="reason"><${Icon} name="check" /><div><h3>No ban covers it</h3><p>${
      a.generation ? `Its packets meet the rules of generation ${a.generation.generation}.` : "No policy is in force: its packets pass."}</p></div></section>`}
    ${a.sets?.map((m) => html`<section class="reason"><${Icon} name="list" /><div><h3>In the set ${m.set}</h3><p><code>${m.element}</code>${m.left_seconds > 0 && `, for another ${span(m.left_seconds)}`}</p></div></section>`)}
    ${a.rules?.map((r) => html`<section class="reason"><${Icon} name="code" /><div><h3>${r.chain} rule ${r.rule} <span class="note">names it by ${r.by}</span></h3><pre>${r.nft}</pre></div></section>`)}
  </div>`;
}

const WORDS = { ban: "banned", unban: "unbanned", would_ban: "would have been banned", refused: "not banned", audit: "asked for" };

// Past is what is on record: how often it offended, who lifted what.
function Past({ of, entries, why }) {
  return html`<${Panel} id="past-title" title="On record" wide note=${entries.length > 0 && "newest first"}>
    ${why ? html`<${Failure} what="The history" why=${why} />` : !entries.length ? html`<${Empty} icon="check" title="Nothing is on record about it">Bans are recorded, and what people asked for.</${Empty}>`
      : html`<ol class="past">${entries.map((e) => html`<li key=${e.id}><time>${moment(e.time)}</time><b>${WORDS[e.kind] ?? e.kind.replaceAll("_", " ")}</b>
        <span>${[e.target !== of && e.target, e.command, e.why?.trim(), e.outcome].filter((t) => t && t !== "ok").join(": ")}</span><small>${e.by}</small></li>`)}</ol>`}
  </${Panel}>`;
}

function Evidence({ evidence: e }) {
  const more = [e.ports?.length && `ports ${e.ports.join(", ")}`, e.addresses?.length && `addresses ${e.addresses.join(", ")}`].filter(Boolean).join("; ");
  return html`<p class="note">Evidence: ${number(e.count)} ${e.of} from ${moment(e.first)} to ${moment(e.last)}${more && `: ${more}`}.</p>`;
}
