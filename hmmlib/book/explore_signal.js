// The signal: drag a mean, drag a spread.
(function () {
  "use strict";
  const { exp, range, h, set, bold,
    logarithm, shade, begin, compute, density, ofReadings } = window.hmmExplore;

  function signal(root, { states, pi, A, means, scales, x }) {
    const K = states.length, T = x.length, seen = x.filter((v) => v !== null);
    const pad = 0.12 * (Math.max(...seen) - Math.min(...seen)) || 1;
    const low = Math.min(...seen) - pad, high = Math.max(...seen) + pad, span = high - low;
    // Across: the densities end at AXIS, the readings begin at LEFT. On a phone both are narrower.
    const ROOMY = { all: 710, LEFT: 246, WIDE: 456, AXIS: 204, CURVE: 184 };
    const NARROW = { all: 345, LEFT: 112, WIDE: 230, AXIS: 82, CURVE: 72 };
    const TOP = 26, TALL = 210;
    let { LEFT, WIDE, AXIS, CURVE } = ROOMY;
    const across = (t) => LEFT + (WIDE * (t + 0.5)) / T, up = (v) => TOP + (TALL * (high - v)) / span;
    const least = span / 500; // a spread of zero has no density
    const at = begin(root, { means, scales }, (told) => [...told.means, ...told.scales].every(Number.isFinite) &&
      told.scales.every((s) => s > 0), update);
    const first = compute({ pi, A }, ofReadings({ means, scales, x }));
    const chart = h("svg", { class: "hmm-plot", role: "group",
      "aria-label": "The density of each state on the left, readings over time on the right" });
    const strip = range(T).map(() => h("rect", { y: 4, height: 14 }));
    const dots = x.map((v) => h("circle", { cy: up(v ?? low) }));
    const bands = range(T).map(() => range(K).map((k) => h("rect", { fill: shade(k) })));
    const line = h("polyline", { fill: "none", stroke: "currentColor", "stroke-width": 1.5 });
    const curves = range(K).map((k) => h("path", { fill: shade(k), "fill-opacity": 0.6 }));
    const rough = span / 6, ten = 10 ** Math.floor(Math.log10(rough));
    const apart = ten * [1, 2, 5, 10].find((n) => n * ten >= rough);
    const ticks = range(9).map((n) => (Math.ceil(low / apart) + n) * apart).filter((v) => v < high);
    const numbers = ticks.map((v) => h("text", { y: up(v) + 4, "text-anchor": "end" }, String(Number(v.toPrecision(6)))));
    const names = [h("text", { y: 16, "text-anchor": "end" }, "densities"), h("text", { y: 298 }, "smoothed probabilities")];
    chart.append(...strip, line, ...dots, ...bands.flat(), ...curves, ...numbers, ...names);

    // A handle of the chart that is a slider for the keyboard and for screen readers too.
    function handle(name, get, put, shape) {
      const step = span / 100;
      const bound = (v) => put(Math.min(high, Math.max(low, v)));
      const move = (event) => {
        const box = chart.getBoundingClientRect();
        bound(high - ((((event.clientY - box.top) * 300) / box.height - TOP) * span) / TALL);
      };
      const knob = h("g", { class: "hmm-handle", role: "slider", tabindex: 0, "aria-label": name,
        "aria-orientation": "vertical",
        onpointerdown: (event) => { knob.setPointerCapture(event.pointerId); },
        onpointermove: (event) => { if (knob.hasPointerCapture(event.pointerId)) move(event); },
        onkeydown: (event) => {
          const by = { ArrowUp: 1, ArrowRight: 1, ArrowDown: -1, ArrowLeft: -1, PageUp: 10, PageDown: -10 }[event.key];
          if (!by) return;
          event.preventDefault(); event.stopPropagation();
          bound(get() + by * step);
        } }, h("circle", { r: 16, "fill-opacity": 0, "stroke-opacity": 0 }), shape); // wide enough for a finger
      return knob;
    }
    const put = (name, k, value) => at.change({ [name]: at.now[name].map((v, i) => (i === k ? value : v)) });
    const knobs = range(K).map((k) => handle(`Mean of ${states[k]}`, () => at.now.means[k],
      (v) => put("means", k, v), h("circle", { r: 7 })));
    const widths = range(K).map((k) => handle(`Spread of ${states[k]}`, () => at.now.means[k] + at.now.scales[k],
      (v) => put("scales", k, Math.max(least, v - at.now.means[k])),
      h("rect", { width: 11, height: 11, x: -5.5, y: -5.5 })));
    chart.append(...knobs, ...widths);
    const facts = h("div", { class: "hmm-facts" }), legend = h("div", { class: "hmm-facts" });
    root.replaceChildren(h("div", { class: "hmm-bar" }, "Drag a ● to move a mean, a ■ to change a spread.",
      h("span", { class: "hmm-gap" }), at.buttons), chart, legend, facts, at.voice);

    // Everything that has a place across, for the width at hand.
    let chosen;
    function place() {
      const wanted = root.clientWidth && root.clientWidth < 560 ? NARROW : ROOMY;
      if (wanted === chosen) return;
      ({ LEFT, WIDE, AXIS, CURVE } = chosen = wanted);
      set(chart, { viewBox: `0 0 ${chosen.all} 300` });
      const width = WIDE / T + 0.3, r = Math.min(3.2, Math.max(2, 1.2 * width));
      strip.forEach((rect, t) => set(rect, { x: across(t - 0.5), width }));
      dots.forEach((dot, t) => set(dot, { cx: across(t), r: x[t] === null ? 0 : r }));
      bands.forEach((parts, t) => parts.forEach((rect) => set(rect, { x: across(t - 0.5), width })));
      numbers.forEach((number) => set(number, { x: LEFT - 6 }));
      set(names[0], { x: AXIS }); set(names[1], { x: LEFT });
      update();
    }

    function update() {
      const { means, scales } = at.now;
      const { gamma, path, evidence } = compute({ pi, A }, ofReadings({ means, scales, x }));
      const peak = Math.max(...range(K).map((k) => exp(density(0, 0, scales[k]))));
      const reach = (k, v) => AXIS - (CURVE * exp(density(v, means[k], scales[k]))) / peak;
      curves.forEach((curve, k) => set(curve, { d: `M${AXIS} ${up(low)}${range(241).map((n) => {
        const v = low + (span * n) / 240;
        return `L${reach(k, v).toFixed(1)} ${up(v).toFixed(1)}`;
      }).join("")}L${AXIS} ${up(high)}Z` }));
      const spot = (k, v) => ({ transform: `translate(${reach(k, v)} ${up(v)})`, fill: shade(k) });
      knobs.forEach((knob, k) => set(knob, { ...spot(k, means[k]),
        "aria-valuenow": means[k].toFixed(2), "aria-valuemin": low.toFixed(2), "aria-valuemax": high.toFixed(2) }));
      widths.forEach((knob, k) => {
        set(knob, { ...spot(k, Math.min(high, means[k] + scales[k])),
          "aria-valuenow": scales[k].toFixed(2), "aria-valuemin": least.toFixed(2), "aria-valuemax": span.toFixed(2) });
      });
      range(T).forEach((t) => {
        const color = path ? shade(path[t]) : "none";
        set(strip[t], { fill: color }); set(dots[t], { fill: color, stroke: path ? "none" : "currentColor" });
        let y = 250;
        bands[t].forEach((band, k) => {
          const height = gamma ? 34 * gamma[t][k] : 0;
          set(band, { y, height }); y += height;
        });
      });
      set(line, { points: path ? path.map((k, t) => `${across(t - 0.5)},${up(means[k])} ${across(t + 0.5)},${up(means[k])}`).join(" ") : "" });
      legend.replaceChildren(...states.map((name, k) => h("span", {}, h("span", { class: "hmm-s", style: `--c:${shade(k)}` }, name),
        ` mean ${means[k].toFixed(2)}, spread ${scales[k].toFixed(2)}`)));
      const moved = path && first.path ? range(T).filter((t) => path[t] !== first.path[t]).length : null;
      facts.replaceChildren(bold("log p(x) =", logarithm(evidence)),
        bold("since the start", (evidence >= first.evidence ? "+" : "−") + Math.abs(evidence - first.evidence).toFixed(2)),
        bold("steps of the best path that changed", moved === null ? "–" : String(moved)));
      at.say(facts.textContent);
    }
    place();
    new ResizeObserver(place).observe(root);
  }
  window.hmmExplore.kinds.signal = signal;
})();
