// Who is banned, until when, by whom and why.
import { html, useState } from "./lib/htm-preact.js";
import { moment, number, plural, span } from "./format.js";
import { model, usePoll } from "./model.js";
import { act } from "./acts.js";
import { Dialog, Empty, Failure, Icon, Loading, Panel, useTick } from "./parts.js";
import { why } from "./nav.js";

const HOURS = [["1 h", 3600], ["24 h", 86400], ["7 d", 604800], ["30 d", 2592000]];

export function Bans({ brief }) {
  usePoll("bans", 5);
  useTick(1000);
  const { bans, bansError } = model.use();
  const [sought, setSought] = useState("");
  const [asked, setAsked] = useState(false);
  const tools = html`${!brief && html`<label class="find"><${Icon} name="search" /><span class="hidden">Find a ban</span>
      <input type="search" placeholder="address, author, reason" value=${sought} onInput=${(e) => setSought(e.target.value)} data-find /></label>`}
    <button onClick=${() => setAsked(true)} id="add-ban"><${Icon} name="plus" />Ban</button>`;
  return html`<${Panel} id="bans-title" title="Bans" note=${bans && number(bans.total)} tools=${tools} wide=${!brief}>
    ${bansError && !bans ? html`<${Failure} what="The bans" why=${bansError} />` : !bans ? html`<${Loading} what="bans" />`
      : html`<${List} bans=${bans} sought=${sought} brief=${brief} />`}
    ${asked && html`<${AddBan} onClose=${() => setAsked(false)} />`}
  </${Panel}>`;
}

function List({ bans, sought, brief }) {
  const words = sought.toLowerCase().split(/\s+/).filter(Boolean);
  const matching = bans.bans.filter((b) => words.every((w) => [b.target, b.by, b.why, b.origin, b.country].join(" ").toLowerCase().includes(w)));
  if (!bans.total) return html`<${Empty} icon="check" title="Nobody is banned">Detectors, traps and handlers of the policy ban; so can you.</${Empty}>`;
  if (!bans.bans.length) return html`<${Empty} icon="ban" title=${plural(bans.total, "ban")}>They are too many to list. Ask why one address is banned.</${Empty}>`;
  if (!matching.length) return html`<${Empty} icon="search" title="No ban matches">Of ${plural(bans.bans.length, "ban")} shown here, none has “${sought}”.</${Empty}>`;
  const shown = matching.slice(0, brief ? 8 : 500);
  return html`<ul class="bans">${shown.map((b) => html`<${Ban} key=${b.target} ban=${b} />`)}</ul>
    ${(matching.length > shown.length || bans.total > bans.bans.length) && html`<p class="more">${
      brief ? html`<a href="#/bans">All ${plural(bans.total, "ban")}</a>` : `${number(shown.length)} of ${plural(bans.total, "ban")}: search to see others.`}</p>`}`;
}

function left(ban) {
  const seconds = (Date.parse(ban.until) - Date.now()) / 1000;
  return ban.until.startsWith("0001-") ? "for ever" : seconds <= 0 ? "over" : span(seconds);
}

function Ban({ ban }) {
  const extend = (e) => {
    const [label, seconds] = HOURS.find(([, s]) => String(s) === e.target.value);
    e.target.value = "";
    act("ban", { target: ban.target, for: seconds * 1e9, why: ban.why || "extended on the web page" }, `${ban.target} is banned for ${label}.`);
  };
  return html`<li class="ban" data-target=${ban.target}>
    <a class="address" href=${why(ban.target)} title="Why is it banned?">${ban.target}</a>
    <span class="left" title=${"until " + moment(ban.until)}><${Icon} name="clock" />${left(ban)}</span>
    <span class="why">${ban.why || "no reason given"}</span>
    <span class="by" title=${ban.asn && `AS${ban.asn} ${ban.network || ""}`}>${ban.country && `${ban.country} · `}${ban.by}${ban.origin && ban.origin !== ban.by && ` · ${ban.origin}`}</span>
    <span class="acts">
      <button onClick=${() => act("unban", { target: ban.target }, `${ban.target} is not banned any more.`)} data-unban>Unban</button>
      <button title="Lift the ban, and never ban it again" onClick=${() => act("protect", { target: ban.target, note: "protected on the web page" }, `${ban.target} is protected: it can never be banned.`)} data-protect>Protect</button>
      <label><span class="hidden">Extend the ban of ${ban.target}</span>
        <select onChange=${extend}><option value="">Extend…</option>${HOURS.map(([l, s]) => html`<option value=${s}>${l}</option>`)}</select></label>
    </span>
  </li>`;
}

// AddBan asks what to ban, and tells onClose whether it was done.
export function AddBan({ of = "", onClose }) {
  const [target, setTarget] = useState(of);
  const [seconds, setSeconds] = useState(3600);
  const [reason, setReason] = useState("");
  const go = async (e) => {
    e.preventDefault();
    const body = { target: target.trim(), for: seconds * 1e9, why: reason.trim() || "banned on the web page" };
    onClose(await act("ban", body, `${body.target} is banned.`));
  };
  return html`<${Dialog} title="Ban an address" onClose=${() => onClose(false)}><form onSubmit=${go}>
    <label for="ban-target">Address or prefix</label>
    <input id="ban-target" value=${target} required placeholder="203.0.113.9 or 203.0.113.0/24" autocomplete="off" spellcheck="false" onInput=${(e) => setTarget(e.target.value)} />
    <label for="ban-for">For</label>
    <select id="ban-for" value=${seconds} onChange=${(e) => setSeconds(Number(e.target.value))}>${HOURS.map(([l, s]) => html`<option value=${s}>${l}</option>`)}</select>
    <label for="ban-why">Why</label>
    <input id="ban-why" value=${reason} maxlength="100" placeholder="what you will want to know later" onInput=${(e) => setReason(e.target.value)} />
    <p class="note">What this host needs itself, protected addresses among them, is never banned.</p>
    <div class="dialog-acts"><button type="button" onClick=${() => onClose(false)}>Cancel</button><button class="confirm">Ban</button></div>
  </form></${Dialog}>`;
}
