// The keyboard, and the dialog that tells of it.
import { html, useEffect } from "./lib/htm-preact.js";
import { VIEWS } from "./nav.js";
import { Dialog } from "./parts.js";

const press = (selector) => document.querySelector(selector)?.click();
const focus = (selector) => document.querySelector(selector)?.focus();

// KEYS are what each key does. None of them changes the firewall by itself: c
// and r go to a button, and Enter presses it.
const KEYS = {
  c: ["Go to Confirm; Enter confirms", () => focus("#confirm")],
  r: ["Go to Roll back; Enter rolls back", () => focus("#rollback")],
  e: ["Go to Extend", () => focus("[data-extend]")],
  "/": ["Find in this view", () => focus("[data-find]")],
  w: ["Ask why an address is banned", () => focus("#why")],
  p: ["Pause or go on with live events", () => press("#pause")],
  d: ["Dark or light", () => press("#theme")],
};

export function useKeys(help) {
  useEffect(() => {
    const pressed = (e) => {
      if (e.ctrlKey || e.altKey || e.metaKey || document.querySelector("dialog[open]")) return;
      if (e.target.closest("input, select, textarea")) {
        if (e.key === "Escape") e.target.blur();
        return;
      }
      const view = VIEWS[Number(e.key) - 1];
      if (view) location.hash = "#/" + view[0];
      else if (e.key === "?") help();
      else if (KEYS[e.key]) KEYS[e.key][1]();
      else return;
      e.preventDefault();
    };
    addEventListener("keydown", pressed);
    return () => removeEventListener("keydown", pressed);
  }, []);
}

export function Help({ onClose }) {
  return html`<${Dialog} title="Keyboard" onClose=${onClose}>
    <dl class="keys">
      ${VIEWS.map(([, label], i) => html`<dt><kbd>${i + 1}</kbd></dt><dd>${label}</dd>`)}
      ${Object.entries(KEYS).map(([key, [what]]) => html`<dt><kbd>${key}</kbd></dt><dd>${what}</dd>`)}
      <dt><kbd>?</kbd></dt><dd>This</dd>
      <dt><kbd>Esc</kbd></dt><dd>Leave a field or a dialog</dd>
    </dl>
    <p class="note">No key changes the firewall by itself.</p>
  </${Dialog}>`;
}
