// The trial across the whole width: how long it lasts, what it changes, and
// whether it stays.
import { html, useEffect, useRef, useState } from "./lib/htm-preact.js";
import { clock, plural, span } from "./format.js";
import { model } from "./model.js";
import { act } from "./acts.js";
import { Icon, useTick } from "./parts.js";

const secondsLeft = () => Math.max(0, (model.values.deadline - performance.now()) / 1000);

export const confirmTrial = () => act("confirm", { generation: model.values.status?.trial?.generation });
export const rollBackTrial = () => act("rollback", { generation: model.values.status?.trial?.generation });
export const extendTrial = (seconds) => act("extend", { for: seconds * 1e9 });

export function Trial({ brief }) {
  const { status, outcome } = model.use();
  if (!status) return null;
  if (status.trial) return html`<${OnTrial} status=${status} brief=${brief} />`;
  return html`<${NoTrial} status=${status} outcome=${outcome} />`;
}

// calm is what there is to say while nothing is on trial: a sign, a sentence, and how bad it is.
function calm(status, outcome) {
  if (status.lease_over) return ["open", "Everything passes: the liveness lease ran out.", " amiss-now"];
  if (status.state === "open" && status.confirmed) return ["open", `Everything passes: generation ${status.confirmed.generation} stands aside.`, " amiss-now"];
  if (status.daemon?.drift) return ["warn", "Somebody else has changed the rules.", " amiss-now"];
  if (outcome) return outcome.good ? ["check", outcome.text, ""] : ["back", outcome.text, " ended"];
  if (status.state === "open") return ["open", "Everything passes: no policy is in force.", " ended"];
  return ["check", "No trial. Nothing is at risk.", ""];
}

function NoTrial({ status, outcome }) {
  const [icon, text, tone] = calm(status, outcome);
  return html`<section class=${"trial calm" + tone} aria-label="Trial" id="trial">
    <p><${Icon} name=${icon} /><strong>${text}</strong></p>
    ${outcome && html`<button class="quiet" onClick=${() => model.set({ outcome: null })}>Dismiss</button>`}
  </section>`;
}

function OnTrial({ status, brief }) {
  const { changes, changesError } = model.use();
  const back = status.confirmed ? `generation ${status.confirmed.generation} (${status.confirmed.policy})` : null;
  const fallback = back && status.trial.fallback !== "open" ? `${back} filters again` : "everything passes";
  return html`<section class="trial on" aria-label="Trial" id="trial">
    <div class="trial-head">
      <${Clock} length=${status.trial_seconds} />
      <div class="trial-says">
        <h2>Generation ${status.trial.generation} is on trial</h2>
        <p><code>${status.trial.policy}</code>${status.trial.by && ` · applied by ${status.trial.by}`}</p>
        <p>If nobody confirms it in time, ${fallback}. The kernel sees to that, even with every process of Moonlatch dead.</p>
      </div>
      <div class="trial-acts">
        <button class="confirm big" onClick=${confirmTrial} id="confirm"><${Icon} name="check" />Confirm</button>
        <button class="rollback big" onClick=${rollBackTrial} id="rollback"><${Icon} name="back" />Roll back</button>
        <div class="extend" role="group" aria-label="Extend the trial">
          <span>Extend by</span>
          ${[[60, "1 min"], [300, "5 min"], [900, "15 min"]].map(([s, label]) => html`<button onClick=${() => extendTrial(s)} data-extend=${s}>${label}</button>`)}
        </div>
      </div>
    </div>
    <p class="hint"><${Icon} name="key" />This page may come over a connection that was there before. Log in by a new one first; then confirm.</p>
    <${Changes} changes=${changes} why=${changesError} brief=${brief} />
  </section>`;
}

// MARKS are the times left at which a screen reader hears of them.
const MARKS = [600, 300, 120, 60, 30, 15, 10, 5];

function Clock({ length }) {
  useTick(200);
  const left = secondsLeft();
  const heard = useRef("");
  const mark = MARKS.findLast((m) => left <= m);
  if (mark) heard.current = span(mark) + " left of the trial";
  const urgent = left <= 15;
  return html`<div class=${"clock" + (urgent ? " urgent" : "")}>
    <span class="digits" role="timer" aria-label="Time left of the trial">${clock(left)}</span>
    <span class="digits-label">${urgent ? "seconds decide" : "left of " + span(length)}</span>
    <progress max=${length || 1} value=${left} aria-hidden="true"></progress>
    <span class="hidden" aria-live="polite">${heard.current}</span>
  </div>`;
}

const SIGNS = { added: ["plus", "new"], removed: ["minus", "removed"], changed: ["tilde", "changed"], moved: ["move", "moved"] };

function Changes({ changes, why, brief }) {
  const [all, setAll] = useState(false);
  if (why) return html`<p class="changes-note">${why}</p>`;
  if (!changes) return html`<p class="changes-note">Comparing…</p>`;
  const list = [...changes.changes].sort((a, b) => (b.kind === "rule") - (a.kind === "rule")); // what people wrote first
  const against = changes.against ? `generation ${changes.against.generation}` : "nothing, everything passed";
  if (!list.length) return html`<p class="changes-note">The rules are those of ${against}.</p>`;
  if (brief) return html`<p class="changes-note"><a href="#/now">What it changes</a> against ${against}: ${counted(list)}</p>`;
  const shown = all ? list : list.slice(0, 6);
  return html`<div class="changes">
    <h3>What it changes <span class="note">against ${against}: ${counted(list)}</span></h3>
    <ul>${shown.map((c) => html`<${Change} change=${c} />`)}</ul>
    ${list.length > shown.length && html`<button class="quiet" onClick=${() => setAll(true)}>Show all ${plural(list.length, "change")}</button>`}
  </div>`;
}

function counted(list) {
  return Object.entries(SIGNS)
    .map(([action, [, word]]) => [list.filter((c) => c.action === action).length, word])
    .filter(([n]) => n).map(([n, word]) => `${n} ${word}`).join(", ");
}

function Change({ change }) {
  const [icon, word] = SIGNS[change.action];
  const lines = change.action === "moved" ? [] : [...(change.old ?? []).map((l) => ["-", l]), ...(change.new ?? []).map((l) => ["+", l])];
  return html`<li class=${"change " + change.action}>
    <span class="change-name"><${Icon} name=${icon} /><span class="change-word">${word}</span>
      ${change.chain ? html`${change.chain} rule <strong>${change.name}</strong>` : html`${change.kind} <strong>${change.name}</strong>`}</span>
    ${lines.length > 0 && html`<pre>${lines.map(([sign, l]) => html`<span class=${sign === "+" ? "new" : "old"}>${sign} ${l}</span>`)}</pre>`}
  </li>`;
}

// useTitle keeps the time left in the page's title, where another tab shows it.
export function useTitle() {
  const { status } = model.use();
  useEffect(() => {
    const show = () => (document.title = status?.trial ? `${clock(secondsLeft())} trial · Moonlatch` : "Moonlatch");
    show();
    const timer = setInterval(show, 1000);
    return () => clearInterval(timer);
  }, [status]);
}
