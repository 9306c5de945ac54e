// The small parts that every view is made of.
import { html, useEffect, useLayoutEffect, useRef, useState } from "./lib/htm-preact.js";

// Paths of 20×20 icons, drawn with a line.
const PATHS = {
  check: "M4 10.5l4 4 8-9",
  cross: "M5 5l10 10M15 5L5 15",
  back: "M8 5L3.5 9.5 8 14M4 9.5h8a4 4 0 0 1 0 8h-2",
  clock: "M10 2.8a7.2 7.2 0 1 0 0 14.4 7.2 7.2 0 0 0 0-14.4zM10 6v4.2l2.8 1.8",
  shield: "M10 2.5l6 2.2v4.6c0 4-2.6 6.6-6 8.2-3.4-1.6-6-4.2-6-8.2V4.7z",
  open: "M4.5 9h9a1.5 1.5 0 0 1 1.5 1.5v5A1.5 1.5 0 0 1 13.5 17h-7A1.5 1.5 0 0 1 5 15.5V9M7 9V6a3 3 0 0 1 5.8-1",
  warn: "M10 3l7.5 13.5h-15zM10 8v4M10 14.2v.3",
  moon: "M15.5 12.5A6.5 6.5 0 0 1 7.5 4.5a6.5 6.5 0 1 0 8 8z",
  sun: "M10 6.5a3.5 3.5 0 1 0 0 7 3.5 3.5 0 0 0 0-7zM10 1.8v2M10 16.2v2M1.8 10h2M16.2 10h2M4.2 4.2l1.4 1.4M14.4 14.4l1.4 1.4M4.2 15.8l1.4-1.4M14.4 5.6l1.4-1.4",
  ban: "M10 2.8a7.2 7.2 0 1 0 0 14.4 7.2 7.2 0 0 0 0-14.4zM5 5l10 10",
  plus: "M10 4v12M4 10h12",
  minus: "M4 10h12",
  tilde: "M3.5 11.5c2-4 4.5-3 6.5-1.5s4.5 2.5 6.5-1.5",
  move: "M6 3v13M6 3L3.5 5.5M6 3l2.5 2.5M14 17V4M14 17l-2.5-2.5M14 17l2.5-2.5",
  pause: "M7 4.5v11M13 4.5v11",
  play: "M6 4l10 6-10 6z",
  search: "M9 3.5a5.5 5.5 0 1 0 0 11 5.5 5.5 0 0 0 0-11zM13 13l4 4",
  pulse: "M2 10.5h3.5L8 4l4 12 2.5-5.5H18",
  chart: "M3.5 16.5V9.5M8 16.5V4M12.5 16.5v-6M17 16.5V7",
  list: "M7 5h10M7 10h10M7 15h10M3.2 5h.3M3.2 10h.3M3.2 15h.3",
  code: "M7 5.5L2.5 10 7 14.5M13 5.5l4.5 4.5-4.5 4.5",
  help: "M7.2 7.5a2.8 2.8 0 1 1 4 2.5c-.8.5-1.2 1-1.2 2M10 15v.3",
  key: "M12.5 3a4.5 4.5 0 1 0 0 9 4.5 4.5 0 0 0 0-9zM9 10.5L3 16.5M5.5 14l2 2",
};

export function Icon({ name }) {
  return html`<svg class="icon" viewBox="0 0 20 20" aria-hidden="true"><path d=${PATHS[name]} /></svg>`;
}

// Empty is what stands where nothing is: what that means, and nothing to fear.
export function Empty({ icon, title, children }) {
  return html`<div class="empty"><${Icon} name=${icon} /><p class="empty-title">${title}</p><p>${children}</p></div>`;
}

export function Loading({ what }) {
  return html`<div class="empty loading" role="status"><span class="skeleton" /><span class="skeleton short" /><p>Loading ${what}…</p></div>`;
}

export function Failure({ what, why }) {
  return html`<div class="empty failure" role="alert"><${Icon} name="warn" /><p class="empty-title">${what} cannot be shown</p><p>${why}</p></div>`;
}

// Panel is one framed part of a view.
export function Panel({ title, note, tools, wide, children, id }) {
  return html`<section class=${"panel" + (wide ? " wide" : "")} aria-labelledby=${id}>
    <header><h2 id=${id}>${title}</h2>${note && html`<span class="note">${note}</span>`}<div class="tools">${tools}</div></header>
    ${children}
  </section>`;
}

// Dialog is shown over the page until it is closed. Escape closes it.
export function Dialog({ title, onClose, children }) {
  const ref = useRef();
  useLayoutEffect(() => ref.current.showModal(), []); // before a key is pressed
  const outside = (e) => e.target === ref.current && onClose();
  const key = (e) => {
    if (e.key !== "Escape") return;
    e.preventDefault();
    onClose();
  };
  return html`<dialog ref=${ref} aria-labelledby="dialog-title" onClose=${onClose} onClick=${outside} onKeyDown=${key}>
    <header><h2 id="dialog-title">${title}</h2>
      <button class="quiet square" onClick=${onClose} aria-label="Close"><${Icon} name="cross" /></button></header>
    <div class="dialog-body">${children}</div>
  </dialog>`;
}

// useTick redraws every so many milliseconds, for what counts down.
export function useTick(milliseconds) {
  const [, redraw] = useState(0);
  useEffect(() => {
    const timer = setInterval(() => document.hidden || redraw((n) => n + 1), milliseconds);
    return () => clearInterval(timer);
  }, [milliseconds]);
}
