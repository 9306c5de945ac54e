// The page: its frame, and which view is in it.
import { html, render, useEffect, useState } from "./lib/htm-preact.js";
import { Said, TokenDialog } from "./acts.js";
import { Bans } from "./bans.js";
import { Bar } from "./bar.js";
import { listen } from "./feed.js";
import { Help, useKeys } from "./keys.js";
import { Live } from "./live.js";
import { model, refresh } from "./model.js";
import { usePlace, VIEWS, why } from "./nav.js";
import { Icon } from "./parts.js";
import { Policy } from "./policy.js";
import { Rules } from "./rules.js";
import { Traffic } from "./traffic.js";
import { Trial, useTitle } from "./trial.js";
import { Why } from "./why.js";

const ASK_EVERY = 2000;

function App() {
  const [view, argument] = usePlace();
  const [help, setHelp] = useState(false);
  useEffect(() => {
    refresh();
    listen();
    const timer = setInterval(() => document.hidden || refresh(), ASK_EVERY);
    const seen = () => document.hidden || refresh();
    document.addEventListener("visibilitychange", seen);
    return () => {
      clearInterval(timer);
      document.removeEventListener("visibilitychange", seen);
    };
  }, []);
  useTitle();
  useKeys(() => setHelp(true));
  return html`
    <a class="skip" href="#main">Skip to the view</a>
    <header class="top">
      <a class="brand" href="#/now"><img src="/mark.svg" alt="" width="28" height="28" /><span>Moonlatch</span></a>
      <nav aria-label="Views">${VIEWS.map(([name, label, icon]) => html`<a href=${"#/" + name} aria-current=${view === name ? "page" : null}><${Icon} name=${icon} />${label}</a>`)}</nav>
      <div class="top-acts">
        <${Ask} />
        <${Theme} />
        <button class="quiet square" onClick=${() => setHelp(true)} aria-label="Keyboard and help" title="Keyboard (?)"><${Icon} name="help" /></button>
      </div>
    </header>
    <${Reach} />
    <${Trial} brief=${view !== "now"} />
    <${Bar} brief=${view !== "now"} />
    <main id="main" tabindex="-1"><${View} view=${view} argument=${argument} /></main>
    <${Said} />
    <${TokenDialog} />
    ${help && html`<${Help} onClose=${() => setHelp(false)} />`}`;
}

function View({ view, argument }) {
  switch (view) {
    case "bans": return html`<${Bans} />`;
    case "traffic": return html`<${Traffic} />`;
    case "rules": return html`<${Rules} />`;
    case "policy": return html`<${Policy} />`;
    case "why": return html`<${Why} target=${argument} />`;
  }
  return html`<div class="columns"><${Live} /><${Bans} brief /></div>`;
}

// Reach says when what the page shows may be old.
function Reach() {
  const { gone, trouble, status } = model.use();
  if (gone) return html`<p class="reach" role="alert"><${Icon} name="warn" /><span><b>The daemon does not answer.</b> ${
    status ? "What you see is what it said last." : ""} Rules, bans and a trial's end are the kernel's and hold. Trying again…</span></p>`;
  if (trouble) return html`<p class="reach" role="alert"><${Icon} name="warn" /><span>${trouble}</span></p>`;
  return null;
}

// Ask leads to what is known of an address.
function Ask() {
  const [text, setText] = useState("");
  const go = (e) => {
    e.preventDefault();
    if (text.trim()) location.hash = why(text.trim());
  };
  return html`<form onSubmit=${go} role="search"><label class="find"><${Icon} name="search" /><span class="hidden">Why is this address banned?</span>
    <input type="search" id="why" placeholder="Why is … banned?" value=${text} autocomplete="off" spellcheck="false" onInput=${(e) => setText(e.target.value)} /></label></form>`;
}

function Theme() {
  const system = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
  const [theme, setTheme] = useState(document.documentElement.dataset.theme ?? system);
  const other = theme === "dark" ? "light" : "dark";
  const change = () => {
    localStorage.setItem("moonlatch.theme", other);
    document.documentElement.dataset.theme = other;
    setTheme(other);
  };
  return html`<button class="quiet square" id="theme" onClick=${change} aria-label=${`Change to ${other} colours`} title=${`${other} colours (d)`}><${Icon} name=${theme === "dark" ? "sun" : "moon"} /></button>`;
}

const root = document.getElementById("app");
root.replaceChildren();
render(html`<${App} />`, root);
