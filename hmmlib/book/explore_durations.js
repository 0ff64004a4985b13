// The duration law: drag p(d), the probability of a stay of d steps, and watch runs lengthen.
(function () {
  "use strict";
  const { log, exp, range, sum, normalise, isRow, uniforms, pick, h, set, button, bold, short, percent, shade,
    begin } = window.hmmExplore;

  // ------------------------------------------------- laws, as hmmlib.durations has them

  const DISPERSION = 0.3, LEAST = 3, MOST_CUT_OFF = 0.01;
  const xlogy = (x, y) => (x === 0 ? 0 : x * log(y));
  const logRising = (r, n) => sum(range(n).map((i) => log(r + i))); // log r (r + 1) ... (r + n - 1)
  const after = (least) => (d, mean) => {
    const leaves = 1 / (mean - least + 1);
    return d < least ? 0 : leaves * exp(xlogy(d - least, 1 - leaves));
  };
  // p(d) of a given mean, d = 1, 2, ... without end; a mean is above `least`.
  const LAWS = {
    geometric: { name: "geometric", least: 1, p: after(1) },
    poisson: { name: "Poisson", least: 1, p: (d, mean) =>
      exp(xlogy(d - 1, mean - 1) - (mean - 1) - logRising(1, d - 1)) },
    negative: { name: "negative binomial", least: 1, p: (d, mean) => {
      const size = 1 / DISPERSION, odds = DISPERSION * (mean - 1);
      return exp(logRising(size, d - 1) - logRising(1, d - 1) + xlogy(d - 1, odds)
        - (size + d - 1) * log(1 + odds));
    } },
    after: { name: `at least ${LEAST}, then geometric`, least: LEAST, p: after(LEAST) },
  };
  const steps = (size) => range(size).map((i) => i + 1);
  const cutOff = (law, mean, size) => 1 - sum(steps(size).map((d) => LAWS[law].p(d, mean)));
  // What is cut off behind the last step is shared out.
  function lawTable(law, mean, size) {
    const row = steps(size).map((d) => LAWS[law].p(d, mean)), total = sum(row);
    return row.map((p) => p / total);
  }
  // The largest mean, in tenths, of which a hundredth at most is cut off.
  function limit(law, size) {
    let tenths = 10 * LAWS[law].least + 1;
    while (tenths < 10 * size && cutOff(law, (tenths + 1) / 10, size) <= MOST_CUT_OFF) tenths += 1;
    return tenths / 10;
  }
  const meanOf = (row) => sum(row.map((p, i) => p * (i + 1)));

  // ------------------------------------------------- samples

  // The duration at which a law first exceeds u. The same u: a law of longer stays, a longer run.
  const fromTable = (row, u) => 1 + pick(row, u);
  const fromGeometric = (mean, u) => (mean <= 1 ? 1 : 1 + Math.floor(log(1 - u) / log(1 - 1 / mean)));
  const RUNS = 500, STEPS = 96;

  // ------------------------------------------------- the page

  const WIDE = 340, TOP = 14, BASE = 150, TALL = BASE - TOP;

  function durations(root, { states, table, other }) {
    const D = table.length, COLUMN = (WIDE - 8) / (D + 1), first = { law: "own", mean: meanOf(table), table, same: 0, seed: 1 };
    const most = Object.fromEntries(Object.keys(LAWS).map((law) => [law, limit(law, D)]));
    const least = (law) => LAWS[law].least + 0.1;
    const bound = (law, mean) => Math.min(most[law], Math.max(least(law), Math.round(10 * mean) / 10));
    const at = begin(root, first, (told) => isRow(told.table) && [0, 1].includes(told.same) &&
      Number.isInteger(told.seed) && told.seed > 0 && told.seed < 1e9 && Number.isFinite(told.mean) &&
      (told.law === "own" || (Object.hasOwn(LAWS, told.law) && told.mean === bound(told.law, told.mean) &&
        lawTable(told.law, told.mean, D).every((p, i) => Math.abs(p - told.table[i]) < 1e-6))), update);

    const choose = (law, mean) => at.change({ law, mean: bound(law, mean), table: lawTable(law, bound(law, mean), D) });
    const presets = Object.entries(LAWS).map(([law, { name }]) => button(name,
      () => choose(law, at.now.law === "own" ? meanOf(at.now.table) : at.now.mean), { "data-law": law }));
    const slider = h("input", { type: "range", step: 0.1, "aria-label": "Mean of the law, in steps",
      oninput: () => choose(at.now.law, Number(slider.value)) });
    const reads = h("b"), facts = h("div", { class: "hmm-facts" });
    const others = ["a law of its own", "the same law"].map((text, same) => button(text, () => at.change({ same })));
    const name = (k) => h("span", { class: "hmm-s", style: `--c:${shade(k)}` }, states[k]);

    // Two plots on the same scale, a column for each duration and one for all that are longer.
    const left = (i) => 4 + i * COLUMN;
    let top = 1, held = false;
    const up = (p) => BASE - (TALL * Math.min(p, top)) / top;
    const box = (i, from, wide) => h("rect", { x: left(i) + from * COLUMN, width: wide * COLUMN });
    const grid = () => range(2).map(() => [h("line", { x1: 0, x2: WIDE, stroke: "currentColor", "stroke-opacity": 0.25 }),
      h("text", { x: WIDE, "text-anchor": "end" })]);
    const ticks = () => range(D + 1).map((i) => h("text", { x: left(i + 0.45), y: BASE + 15, "text-anchor": "middle" },
      i < D ? String(i + 1) : `${D + 1}+`));
    const plot = (about, ...parts) => h("svg", { class: "hmm-plot", viewBox: `0 0 ${WIDE} ${BASE + 22}`, ...about },
      parts, h("line", { x1: 0, x2: WIDE, y1: BASE, y2: BASE, stroke: "currentColor" }), ticks());
    const stand = (bar, p) => set(bar, { y: up(p), height: BASE - up(p) });

    const grids = [grid(), grid()], bars = range(D).map((i) => box(i, 0.06, 0.5)), hits = range(D).map((i) => box(i, 0, 1));
    const grips = range(D).map((i) => h("line", { class: "hmm-grip", x1: left(i + 0.02), x2: left(i + 0.6) }));
    const outlines = range(D + 1).map((i) => box(i, 0.62, 0.24)), counted = range(D + 1).map((i) => box(i, 0.06, 0.8));
    const marks = range(D).map((i) => h("line", { x1: left(i), x2: left(i + 0.92), stroke: "currentColor", "stroke-width": 2.5 }));
    bars.forEach((bar) => set(bar, { fill: shade(0) }));
    counted.forEach((bar) => set(bar, { fill: shade(0) }));
    hits.forEach((hit) => set(hit, { "fill-opacity": 0 }));
    outlines.forEach((bar) => set(bar, { fill: "none", stroke: "currentColor", "stroke-width": 1.2 }));
    const put = (i, p) => at.change({ law: "own", table: normalise(at.now.table, i, p) });
    const sliders = range(D).map((i) => {
      const move = (event) => {
        const { top: y, height } = law.getBoundingClientRect(), down = ((event.clientY - y) * (BASE + 22)) / height;
        put(i, Math.max(0, Math.min(top, ((BASE - down) * top) / TALL)));
      };
      const free = () => { if (held) { held = false; update(); } };
      const node = h("g", { class: "hmm-column", role: "slider", tabindex: i ? -1 : 0, "aria-orientation": "vertical",
        "aria-valuemin": 0, "aria-valuemax": 1, "aria-label": `Stays of ${i + 1} step${i ? "s" : ""}`,
        onpointerdown: (event) => { node.setPointerCapture(event.pointerId); node.focus(); held = true; },
        onpointermove: (event) => { if (held && node.hasPointerCapture(event.pointerId)) move(event); },
        onpointerup: free, onpointercancel: free, onlostpointercapture: free,
        onfocus: () => sliders.forEach((each, n) => { each.setAttribute("tabindex", n === i ? 0 : -1); }),
        onkeydown: (event) => {
          const aside = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
          const by = { ArrowUp: 0.01, ArrowDown: -0.01, PageUp: 0.1, PageDown: -0.1, Home: -1, End: 1 }[event.key];
          if (!aside && !by) return;
          event.preventDefault(); event.stopPropagation();
          if (aside) sliders[Math.min(D - 1, Math.max(0, i + aside))].focus();
          else put(i, Math.round(100 * (at.now.table[i] + by)) / 100);
        } }, hits[i], bars[i], grips[i]);
      return node;
    });
    const law = plot({ role: "group", "aria-label": "The law: a bar for each duration. Left and right move between bars, up and down change one." },
      grids[0], outlines, sliders);
    const histogram = plot({ role: "img" }, grids[1], counted, marks);
    const strips = range(2).map(() => h("svg", { class: "hmm-strip", viewBox: `0 0 ${STEPS} 10`, preserveAspectRatio: "none", role: "img" }));

    root.replaceChildren(
      h("div", { class: "hmm-bar hmm-controls", role: "group", "aria-label": "Law" }, presets, h("span", { class: "hmm-gap" }), at.buttons),
      h("div", { class: "hmm-bar hmm-controls" }, slider, h("span", {}, "mean ", reads)),
      h("div", { class: "hmm-plots" },
        h("div", {}, h("div", {}, "Drag a bar: how long ", name(0), " lasts. Outlined, the geometric law of the same mean."), law),
        h("div", {}, h("div", {}, `How long ${RUNS} sampled runs of `, name(0), " lasted, beside the law (lines)."), histogram)),
      h("div", {}, "Sampled from the law, ", name(0), " and ", name(1), `, ${STEPS} steps:`), strips[0],
      h("div", {}, "Sampled from geometric laws of the same means, all that a plain chain can have:"), strips[1],
      h("div", { class: "hmm-bar hmm-controls" }, 
        h("div", { class: "hmm-bar", style: "margin:0", role: "group", "aria-label": `Law of ${states[1]}` }, name(1), " has ", others),
        button("Sample again", () => at.change({ seed: at.now.seed + 1 }))),
      facts, at.voice);

    // Runs of both states in turn, as far as the strip goes.
    function draw(strip, what, us, lasts) {
      const parts = [], told = [];
      for (let n = 0, t = 0; t < STEPS; n++) {
        const d = lasts(n % 2, us[n]), k = n % 2, shown = Math.min(d, STEPS - t);
        parts.push(h("rect", { x: t, width: shown, y: k ? 6 : 0, height: k ? 4 : 10, fill: shade(k) }));
        if (!k) told.push(shown);
        t += d;
      }
      strip.replaceChildren(...parts);
      set(strip, { "aria-label": `${what}: runs of ${states[0]} of ${told.join(", ")} steps` });
    }

    function update() {
      const { now } = at, mean = meanOf(now.table), own = now.law === "own", geometric = after(1);
      const tail = (1 - 1 / mean) ** D, us = uniforms(now.seed, 2 * RUNS);
      presets.forEach((each) => set(each, { "aria-pressed": String(each.dataset.law === now.law) }));
      others.forEach((each, same) => set(each, { "aria-pressed": String(same === now.same) }));
      set(slider, own ? { min: 1, max: D } : { min: least(now.law), max: most[now.law] });
      slider.disabled = own; slider.value = own ? mean : now.mean;
      reads.textContent = `${(own ? mean : now.mean).toFixed(1)} steps`;

      const longest = { geometric: steps(D).map((d) => geometric(d, mean)) };
      const runs = range(RUNS).map((n) => fromTable(now.table, us[2 * n]));
      const shares = range(D + 1).map((i) => runs.filter((d) => d === i + 1).length / RUNS);
      if (!held) top = [0.25, 0.5, 1].find((each) => each >= 0.98 * Math.max(...now.table, ...longest.geometric, ...shares));
      grids.forEach((each) => each.forEach(([line, text], n) => {
        const p = (top * (n + 1)) / 2;
        set(line, { y1: up(p), y2: up(p) }); set(text, { y: up(p) - 3 }); text.textContent = String(p);
      }));
      [...longest.geometric, tail].forEach((p, i) => stand(outlines[i], p));
      shares.forEach((p, i) => stand(counted[i], p));
      now.table.forEach((p, i) => {
        stand(bars[i], p); set(grips[i], { y1: up(p), y2: up(p) }); set(marks[i], { y1: up(p), y2: up(p) });
        set(hits[i], { y: Math.min(up(p) - 16, BASE - 24), height: BASE - Math.min(up(p) - 16, BASE - 24) });
        set(sliders[i], { "aria-valuenow": p.toFixed(4), "aria-valuetext": `${percent(p)}; geometric ${percent(longest.geometric[i])}` });
      });
      set(histogram, { "aria-label": `Sampled runs: ${shares.map((p, i) => [p, `${i + 1} steps ${percent(p)}`])
        .filter(([p]) => p > 0).map(([, text]) => text).join(", ")}` });
      draw(strips[0], "The law", us, (k, u) => fromTable(k && !now.same ? other : now.table, u));
      draw(strips[1], "Geometric", us, (k, u) => fromGeometric(k && !now.same ? meanOf(other) : mean, u));
      facts.replaceChildren(bold("mean of the law", `${mean.toFixed(2)} steps`),
        bold(`mean of ${RUNS} runs`, `${(sum(runs) / RUNS).toFixed(2)} steps`),
        bold("a plain chain of this mean goes on with probability", short(1 - 1 / mean)),
        h("span", {}, "stays of one step: the law ", h("b", {}, short(now.table[0])), ", geometric ", h("b", {}, short(1 / mean))));
      at.say(facts.textContent);
    }
    update();
  }

  window.hmmExplore.kinds.durations = durations;
  Object.assign(window.hmmExplore, { lawTable, limit, fromTable, fromGeometric });
})();
