// The timeline, drawn by uPlot: packet events and drops as lines, bans as bars,
// generations as marks. The numbers stand in the legend, so that no colour is needed.
import { html, useEffect, useRef } from "./lib/htm-preact.js";
import { number } from "./format.js";

const HEIGHT = 280;

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

export function Chart({ traffic }) {
  const ref = useRef();
  useEffect(() => {
    let plot = draw(ref.current, traffic);
    const again = () => {
      plot.destroy();
      plot = draw(ref.current, traffic);
    };
    const sized = new ResizeObserver(() => plot.width !== width(ref.current) && plot.setSize({ width: width(ref.current), height: HEIGHT }));
    sized.observe(ref.current);
    const themed = new MutationObserver(again);
    themed.observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
    const scheme = matchMedia("(prefers-color-scheme: dark)");
    scheme.addEventListener("change", again);
    return () => {
      sized.disconnect();
      themed.disconnect();
      scheme.removeEventListener("change", again);
      plot.destroy();
    };
  }, [traffic]);
  return html`<div class="chart" ref=${ref} role="img" aria-label="Events, drops and bans over time"></div>`;
}

const width = (element) => Math.max(240, element.clientWidth);

function draw(into, { points, marks }) {
  const grid = { stroke: colour("--line"), width: 1 };
  const axis = { stroke: colour("--soft"), grid, ticks: grid, font: "12px " + getComputedStyle(document.body).fontFamily };
  const value = (_, v) => (v === null ? "–" : number(v));
  const whole = (_, values) => values.map((v) => (Number.isInteger(v) ? number(v) : ""));
  const series = [
    { value: "{HH}:{mm} {MMM} {D}" },
    { label: "events", stroke: colour("--accent"), width: 2, fill: colour("--accent-wash"), points: { show: false }, value },
    { label: "dropped by bans", stroke: colour("--bad"), width: 2, dash: [6, 4], points: { show: false }, value },
    { label: "bans", stroke: colour("--moon"), fill: colour("--moon"), scale: "bans", paths: uPlot.paths.bars({ size: [0.5, 14] }), points: { show: false }, value },
  ];
  return new uPlot({
    width: width(into), height: HEIGHT, series,
    cursor: { y: false },
    scales: { y: { range: (_, low, high) => [0, Math.max(4, high * 1.1)] }, bans: { range: (_, low, high) => [0, Math.max(4, high * 3)] } },
    axes: [{ ...axis, values: [[86400, "{MMM} {D}"], [3600, "{HH}:{mm}", "\n{MMM} {D}"], [60, "{HH}:{mm}"]].map(([by, text, day]) => [by, text, day ?? null, null, null, null, null, null, 1]) },
      { ...axis, size: 56, values: whole }, { ...axis, scale: "bans", side: 1, size: 40, grid: { show: false }, values: whole }],
    hooks: { draw: [(u) => drawMarks(u, marks ?? [])] },
  }, [
    points.map((p) => Date.parse(p.start) / 1000),
    points.map((p) => p.events),
    points.map((p) => p.dropped),
    points.map((p) => p.bans),
  ], into);
}

// drawMarks draws a line where a generation came into force or went out of it.
function drawMarks(u, marks) {
  const { ctx, bbox } = u;
  ctx.save();
  ctx.strokeStyle = ctx.fillStyle = colour("--warn");
  ctx.setLineDash([3, 3]);
  ctx.font = `${11 * devicePixelRatio}px ${getComputedStyle(document.body).fontFamily}`;
  let named = Infinity; // where the last number stands: the next one must not lie on it
  for (const m of marks) {
    // What happened since the last point began is drawn at the edge.
    const x = Math.min(u.valToPos(Date.parse(m.time) / 1000, "x", true), bbox.left + bbox.width);
    if (x < bbox.left) continue;
    ctx.beginPath();
    ctx.moveTo(x, bbox.top);
    ctx.lineTo(x, bbox.top + bbox.height);
    ctx.stroke();
    ctx.textAlign = "right";
    if (m.kind !== "apply" || named - x < 24 * devicePixelRatio) continue;
    ctx.fillText(String(m.generation ?? ""), x - 3 * devicePixelRatio, bbox.top + 11 * devicePixelRatio);
    named = x;
  }
  ctx.restore();
}
