// A chain of two states that emits symbols: draw days, and see how fast it forgets the first one.
(function () {
  "use strict";
  const { range, sum, h, set, button, bold, short, percent, shade, initials, uniforms, pick,
    begin } = window.hmmExplore;

  // ------------------------------------------------- the chain

  const matrix = ([a, b]) => [[a, 1 - a], [1 - b, b]];
  const move = (probs, A) => A[0].map((_, j) => sum(probs.map((p, i) => p * A[i][j])));
  // p(first state) on days 1, 2, ..., from the probabilities of day 1.
  function chances(probs, A, days) {
    return range(days).map((t) => { if (t) probs = move(probs, A); return probs[0]; });
  }
  // The distribution that A leaves unchanged; null where every distribution does.
  const stationary = ([a, b]) => (a === 1 && b === 1 ? null : (1 - b) / (2 - a - b));
  // Ancestral sampling: the state of a day, then its symbol. Two numbers in [0, 1) a day.
  function ancestral(pi, A, B, us) {
    let state = null;
    return range(us.length / 2).map((t) => {
      state = pick(state === null ? pi : A[state], us[2 * t]);
      return [state, pick(B[state], us[2 * t + 1])];
    });
  }

  // ------------------------------------------------- the page

  const MOST = 56, SHOWN = 15, WIDE = 340, LEFT = 26, TOP = 12, BASE = 138;

  function sampler(root, { states, symbols, pi, A, B }) {
    const first = { stay: [A[0][0], A[1][1]], seed: 1, days: 7 }, letters = initials(states);
    const at = begin(root, first, (given) => given.stay.every((p) => p >= 0 && p <= 1) &&
      [given.seed, given.days].every((n) => Number.isInteger(n) && n > 0) && given.seed < 1e9 &&
      given.days <= MOST, update);
    const name = (k) => h("span", { class: "hmm-s", style: `--c:${shade(k)}` }, states[k]);
    const more = (days) => () => at.change({ days: Math.min(MOST, at.now.days + days) });
    const next = button("Next day", more(1)), week = button("Next week", more(7));
    const again = button("New sequence", () => at.change({ seed: at.now.seed + 1, days: 1 }));
    const reads = states.map(() => h("b")), sliders = states.map((state, k) => {
      const input = h("input", { type: "range", min: 0, max: 1, step: 0.01,
        "aria-label": `Probability that ${state} follows ${state}`,
        oninput: () => at.change({ stay: at.now.stay.map((p, i) => (i === k ? Number(input.value) : p)) }) });
      return input;
    });
    const strip = h("div", { class: "hmm-days", role: "img" }), facts = h("div", { class: "hmm-facts" });

    // P(first state) from three distributions of day 1, told apart by their marks.
    const across = (t) => LEFT + ((WIDE - LEFT - 8) * t) / (SHOWN - 1), up = (p) => BASE - (BASE - TOP) * p;
    const line = (attributes) => h("line", { stroke: "currentColor", ...attributes });
    const grid = [0, 0.5, 1].map((p) => [line({ x1: LEFT, x2: WIDE, y1: up(p), y2: up(p), "stroke-opacity": 0.25 }),
      h("text", { x: LEFT - 5, y: up(p) + 4, "text-anchor": "end" }, String(p))]);
    const ticks = range(SHOWN).filter((t) => t % 2 === 0).map((t) => h("text", { x: across(t), y: BASE + 16, "text-anchor": "middle" }, String(t + 1)));
    const level = line({ x1: LEFT, x2: WIDE, "stroke-dasharray": "2 3", "stroke-width": 1.5 });
    const starts = [[1, 0], pi, [0, 1]];
    const curves = starts.map(() => h("polyline", { fill: "none", stroke: "currentColor", "stroke-width": 1.2 }));
    const dots = starts.map((_, i) => range(SHOWN).map(() => (i === 1
      ? h("rect", { width: 6, height: 6, fill: "currentColor" })
      : h("circle", { r: 3.5, stroke: "currentColor", fill: shade(i / 2) }))));
    const chart = h("svg", { class: "hmm-plot", viewBox: `0 0 ${WIDE} ${BASE + 22}`, role: "img" }, grid, ticks, level, curves, dots);

    root.replaceChildren(
      h("div", { class: "hmm-bar hmm-controls", role: "group", "aria-label": "Sample" }, next, week, again,
        h("span", { class: "hmm-gap" }), at.buttons),
      strip,
      h("div", { class: "hmm-plots" },
        h("div", {}, sliders.map((slider, k) => h("div", { class: "hmm-bar hmm-controls" }, slider,
          h("span", {}, name(k), " follows ", name(k), " with probability ", reads[k]))), facts),
        h("div", {}, h("div", {}, "The probability of ", name(0), ` on days 1 to ${SHOWN}, if day 1 is `, name(0),
          " (upper circles), if it is drawn from π (squares), and if it is ", name(1),
          " (lower circles). Dotted: the stationary distribution."), chart)),
      at.voice);

    function update() {
      const { stay, seed, days } = at.now, moves = matrix(stay), share = stationary(stay), factor = stay[0] + stay[1] - 1;
      const drawn = ancestral(pi, moves, B, uniforms(seed, 2 * MOST)).slice(0, days);
      next.disabled = week.disabled = days === MOST;
      stay.forEach((p, k) => { sliders[k].value = p; reads[k].textContent = p.toFixed(2); });
      strip.replaceChildren(...drawn.map(([k, x], t) => h("span", { style: `--c:${shade(k)};--on:var(--on${k})` },
        h("small", {}, String(t + 1)), h("i", {}, letters[k]), symbols[x])));
      set(strip, { "aria-label": drawn.map(([k, x], t) => `Day ${t + 1}: ${states[k]}, ${symbols[x]}`).join("; ") });
      const rows = starts.map((probs) => chances(probs, moves, SHOWN));
      rows.forEach((row, i) => {
        set(curves[i], { points: row.map((p, t) => `${across(t)},${up(p)}`).join(" ") });
        row.forEach((p, t) => set(dots[i][t], i === 1 ? { x: across(t) - 3, y: up(p) - 3 } : { cx: across(t), cy: up(p) }));
      });
      set(level, share === null ? { y1: null, y2: null, "stroke-opacity": 0 } : { y1: up(share), y2: up(share), "stroke-opacity": 1 });
      set(chart, { "aria-label": `Probability of ${states[0]}: ${rows.map((row) => row.map(short).join(", ")).join("; from the next start ")}` });
      facts.replaceChildren(
        bold(`${states[0]} on`, `${drawn.filter(([k]) => k === 0).length} of ${days} days`),
        share === null ? h("span", {}, "no state is ever left: every distribution is stationary")
          : bold("in the long run on", percent(share)),
        bold("the effect of day 1 is multiplied each day by", factor.toFixed(2).replace("-", "−")),
        bold("what is left of it after a week:", (factor ** 7).toFixed(4).replace("-", "−")));
      const [k, x] = drawn[days - 1];
      at.say(`Day ${days}: ${states[k]}, ${symbols[x]}`);
    }
    update();
  }
  window.hmmExplore.kinds.sampler = sampler;
  Object.assign(window.hmmExplore, { chances, stationary, ancestral });
})();
