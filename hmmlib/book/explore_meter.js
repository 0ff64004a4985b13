// The meter: who explains the reading away?
(function () {
  "use strict";
  const { exp, NO, range, sum, h, set, button, bold,
    logarithm, short, shade, begin, compute, density, joined } = window.hmmExplore;

  // Tables that fit a phone: cells may break between a bar and its number.
  const SLIM = { style: "margin-right:0" }, WRAP = { style: "white-space:normal;padding-right:.4rem" };

  // Each appliance's probability of each state at step t, and the joint table, given what was looked at.
  function attribute(given, { x, seen, t, scale }) {
    const model = joined(given), b = x.map((v) => model.watts.map((w) => density(v, w, scale)));
    const looked = (row) => row.map((v, i) => (model.joint[i].every((k, m) => seen[m] < 0 || seen[m] === k) ? v : NO));
    const { gamma, evidence } = compute(model, b.map((row, u) => (u === t ? looked(row) : row)));
    const joint = gamma && gamma[t];
    const singles = joint && given.pis.map((pi, m) => pi.map((_, k) => sum(joint.filter((_, i) => model.joint[i][m] === k))));
    const apart = joint && model.joint.map((z) => z.reduce((p, k, m) => p * singles[m][k], 1));
    const bits = joint && sum(joint.map((p, i) => (p > 0 ? p * Math.log2(p / apart[i]) : 0)));
    return { states: model.joint, watts: model.watts, joint, singles, apart, bits, evidence };
  }

  function meter(root, given) {
    const { names, labels, levels, x, scale } = given, M = names.length, T = x.length;
    const top = 1.15 * Math.max(...x, sum(levels.map((each) => Math.max(...each))));
    const at = begin(root, { x, seen: names.map(() => -1), t: given.step, scale },
      (told) => told.x.every(Number.isFinite) && Number.isInteger(told.t) && told.t >= 0 && told.t < T &&
        told.scale > 0 && told.seen.every((k, m) => Number.isInteger(k) && k >= -1 && k < levels[m].length), update);
    const days = range(T).map((t) => button("", () => at.change({ t, seen: names.map(() => -1) })));
    const slider = (name, low, high, step, put) => { const input = h("input", { type: "range", min: low, max: high, step,
      "aria-label": name, oninput: () => put(Number(input.value)) }); return input; };
    const fine = (top / 200).toPrecision(1);
    const reading = slider("Reading of the meter, in watts", 0, Math.ceil(top), fine,
      (v) => at.change({ x: at.now.x.map((w, t) => (t === at.now.t ? v : w)) }));
    const noise = slider("Noise of the meter, in watts", fine, Math.max(scale, top / 4), fine, (v) => at.change({ scale: v }));
    const reads = h("b"), noisy = h("b"), facts = h("div", { class: "hmm-facts" });
    const switches = names.map((name, m) => [-1, ...range(levels[m].length)].map((k) => button(
      k < 0 ? "not looked" : labels[m][k], () => at.change({ seen: at.now.seen.map((v, n) => (n === m ? k : v)) }),
      { "data-state": k })));
    const gauges = names.map(() => h("td", WRAP)), before = names.map(() => h("td", WRAP)), table = h("div", { class: "hmm-scroll", tabindex: 0,
      role: "group", "aria-label": "All joint states" });
    root.replaceChildren(h("div", { class: "hmm-bar", role: "group", "aria-label": "Step" }, "Step", days,
      h("span", { class: "hmm-gap" }), at.buttons),
      h("div", { class: "hmm-bar" }, reading, h("span", {}, "meter ", reads)),
      h("div", { class: "hmm-bar" }, noise, h("span", {}, "noise ", noisy)),
      h("div", { class: "hmm-scroll" }, h("table", SLIM, h("caption", {}, "Go and look: set a switch"), h("tbody", {},
        h("tr", {}, ["appliance", "what you saw", "the meter alone", "with what you saw"].map((each) => h("th", { scope: "col", ...WRAP }, each))),
        names.map((name, m) => h("tr", {}, h("th", { scope: "row", ...WRAP }, h("span", { class: "hmm-s", style: `--c:${shade(m)}` }, name),
          ` ${levels[m].join(" / ")} W`), h("td", WRAP, h("span", { role: "group", "aria-label": name }, switches[m])), before[m], gauges[m]))))),
      table, facts, at.voice);
    const bar = (p, color) => [h("span", { class: "hmm-meter", style: "width:clamp(40px,12vw,120px)", "aria-hidden": "true" },
      h("i", { style: `width:${100 * p}%;background:${color}` })), " " + short(p)];

    function update() {
      const { now } = at, alone = attribute(given, { ...now, seen: names.map(() => -1) }), told = attribute(given, now);
      days.forEach((each, t) => { each.textContent = `${t + 1}: ${Math.round(now.x[t])} W`; set(each, { "aria-pressed": String(t === now.t) }); });
      reading.value = now.x[now.t]; noise.value = now.scale;
      reads.textContent = `${now.x[now.t]} W`; noisy.textContent = `${now.scale} W`;
      const busy = (singles, m) => 1 - singles[m][0];
      names.forEach((_, m) => {
        switches[m].forEach((each) => set(each, { "aria-pressed": String(Number(each.dataset.state) === now.seen[m]) }));
        before[m].replaceChildren(...bar(busy(alone.singles, m), shade(m)));
        gauges[m].replaceChildren(...(told.joint ? bar(busy(told.singles, m), shade(m)) : ["impossible"]));
      });
      table.replaceChildren(h("table", SLIM, h("caption", {}, "Every joint state"), h("tbody", {}, h("tr", {}, [...names, "watts",
        "probability", "if independent"].map((each) => h("th", { scope: "col", ...WRAP }, each))),
        told.states.map((z, i) => h("tr", {}, z.map((k, m) => h("td", WRAP, labels[m][k])), h("td", WRAP, String(told.watts[i])),
          h("td", WRAP, told.joint ? bar(told.joint[i], "var(--smoothed)") : "–"),
          h("td", WRAP, told.joint ? bar(told.apart[i], "var(--rule)") : "–"))))));
      facts.replaceChildren(bold("log p(x) =", logarithm(alone.evidence)), now.seen.every((k) => k < 0) ? ""
        : bold("probability of what you saw", short(exp(told.evidence - alone.evidence))),
        bold("the meter ties them together by", `${(told.bits ?? 0).toFixed(2)} bits`));
      at.say(names.map((name, m) => (told.joint ? `${name} ${short(busy(told.singles, m))}` : "impossible")).join(", "));
    }
    update();
  }
  window.hmmExplore.kinds.meter = meter;
  window.hmmExplore.attribute = attribute;
})();
