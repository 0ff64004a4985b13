// What the split of a reader's own meter looks like: a day as areas, a table, and a file to keep.
(function () {
  "use strict";
  const { range, h, set, button, bold, logarithm } = window.hmmExplore;
  const HIGH = 220, TOP = 8, BELOW = 22, LEFT = 46;

  // A step function as the corners of a path, left to right; `place` gives the height of step t.
  function corners(from, to, x, place) {
    let path = "", last = null;
    for (let t = from; t < to; t++) {
      const y = place(t).toFixed(1);
      if (y !== last) path += `${last === null ? "" : `H${x(t).toFixed(1)}`}${last === null ? `${x(t).toFixed(1)} ${y}` : `V${y}`}`;
      last = y;
    }
    return `${path}H${x(to).toFixed(1)}`;
  }
  function ticks(most) {
    const size = 10 ** Math.floor(Math.log10(most / 3)), step = [1, 2, 5, 10].map((k) => k * size).find((each) => most / each <= 5);
    return range(Math.floor(most / step) + 1).map((k) => k * step);
  }

  // One day: the expected watts of each chain on top of each other, the rest below, and the meter as a line.
  function picture({ meter, watts, days, names }, day, wide, { color, thousands }) {
    const { from, to, first } = days[day], M = names.length, order = [M - 1, ...range(M - 1)];
    const layers = [new Float64Array(to - from)];
    for (const m of order) layers.push(layers[layers.length - 1].map((v, i) => v + Math.max(0, watts[m][from + i])));
    const most = Math.max(100, 1.05 * layers[M].reduce((a, b) => Math.max(a, b), 0)), base = HIGH - BELOW;
    const x = (t) => LEFT + ((wide - LEFT - 4) * (t - from + first)) / 1440, y = (v) => base - ((base - TOP) * v) / most;
    const area = (low, up) => `M${corners(from, to, x, (t) => y(up[t - from]))}`
      + `L${x(to).toFixed(1)} ${y(low[to - from - 1]).toFixed(1)}${back(low)}Z`;
    // The lower edge, from right to left.
    const back = (low) => {
      let path = "";
      for (let t = to - 1; t >= from; t--) path += `V${y(low[t - from]).toFixed(1)}H${x(t).toFixed(1)}`;
      return path;
    };
    let line = "";
    for (let t = from; t < to;) {
      let end = t;
      while (end < to && !Number.isNaN(meter.watts[end])) end += 1;
      if (end > t) line += `M${corners(t, end, x, (i) => y(meter.watts[i]))}`;
      t = end + 1;
    }
    const hours = range(wide < 500 ? 5 : 9).map((k) => (24 * k) / (wide < 500 ? 4 : 8));
    return h("svg", { class: "hmm-day", width: wide, height: HIGH, viewBox: `0 0 ${wide} ${HIGH}`, role: "img" },
      ticks(most).map((v) => [h("line", { x1: LEFT, x2: wide - 4, y1: y(v), y2: y(v), stroke: "currentColor", "stroke-opacity": 0.25 }),
        h("text", { x: LEFT - 5, y: y(v) + 4, "text-anchor": "end" }, thousands(v))]),
      hours.map((hour) => h("text", { x: LEFT + ((wide - LEFT - 4) * hour) / 24, y: HIGH - 5, "text-anchor": hour === 24 ? "end" : "middle" },
        `${String(hour).padStart(2, "0")}:00`)),
      order.map((m, i) => h("path", { d: area(layers[i], layers[i + 1]), fill: color(m, M) })),
      h("path", { d: line, fill: "none", stroke: "var(--ink)", "stroke-width": 0.7, "stroke-opacity": 0.8 }));
  }

  // Quoted where it must be; a name that a spreadsheet would take for a formula is text.
  const cell = (text) => (/[",;\n]|^[=+@-]/.test(text) ? `"${text.replace(/^(?=[=+@-])/, "'").replace(/"/g, '""')}"` : text);
  function asCsv({ meter, watts, probs, names }, { stamp }) {
    const appliances = names.slice(0, -1), head = ["time", "meter", ...names, ...appliances.map((name) => `${name} on`)].map(cell);
    const lines = range(meter.watts.length).map((t) => [stamp(meter.start + t * 60000), Number.isNaN(meter.watts[t]) ? "" : meter.watts[t],
      ...watts.map((each) => each[t].toFixed(1)), ...appliances.map((_, m) => probs[m][2 * t + 1].toFixed(4))].join(","));
    return `${head.join(",")}\n${lines.join("\n")}\n`;
  }
  function save(text, name) {
    const address = URL.createObjectURL(new Blob([text], { type: "text/csv" })), link = h("a", { href: address, download: name });
    link.click();
    setTimeout(() => URL.revokeObjectURL(address), 10000);
  }

  function drawSplit(root, answer, first, tools) {
    const { meter, days, names, runs, mean, variance, daily, evidence, seconds } = answer, { color, kwh, interval, date, stamp, thousands, voice } = tools;
    const M = names.length, missing = meter.watts.reduce((n, v) => n + Number.isNaN(v), 0);
    let day = first, wide = 0;
    const frame = h("div", { class: "hmm-frame" }), when = h("b"), today = h("th", { scope: "colgroup", colspan: 2 });
    const before = button("Day before", () => turn(-1)), after = button("Next day", () => turn(1));
    const cells = names.map(() => [h("td"), h("td")]);
    const range90 = (m, v) => interval(m, v).map((each) => each.toFixed(2)).join(" to ");
    const name = (m) => h("span", { class: "hmm-s", style: `--c:${color(m, M)}` }, names[m]);
    function turn(by) {
      day += by;
      draw();
      voice.textContent = `${when.textContent}: ${names.map((each, m) => `${each} ${kwh(daily[day].mean[m]).toFixed(2)} kilowatt-hours`).join(", ")}`;
    }
    function draw() {
      wide = Math.max(260, Math.floor(frame.clientWidth || 600));
      const svg = picture(answer, day, wide, tools);
      set(svg, { "aria-label": `Power over the day, ${date(days[day].midnight)}, split among ${names.join(", ")}; the table has the sums` });
      frame.replaceChildren(svg);
      when.textContent = date(days[day].midnight); today.textContent = date(days[day].midnight).replace(/ \d{4}$/, "");
      before.disabled = day === 0; after.disabled = day === days.length - 1;
      cells.forEach(([energy, about], m) => {
        energy.textContent = kwh(daily[day].mean[m]).toFixed(2);
        about.textContent = range90(daily[day].mean[m], daily[day].variance[m]);
      });
    }
    const end = meter.start + meter.watts.length * 60000;
    root.replaceChildren(
      h("div", { class: "hmm-facts" }, bold("meter", meter.name), h("span", {}, `${stamp(meter.start)} to ${stamp(end)}`),
        h("span", {}, h("b", {}, thousands(meter.watts.length)), " minutes, ", h("b", {}, thousands(missing)), " missing"),
        meter.cut ? h("span", {}, `The first ${thousands(meter.cut)} minutes are left out: this page takes the last 31 days.`) : null),
      h("div", { class: "hmm-bar hmm-controls", role: "group", "aria-label": "Day" }, before, after, when),
      h("div", { class: "hmm-facts hmm-legend" }, [M - 1, ...range(M - 1)].map(name), h("span", {}, "line: the meter, in watts")), frame,
      h("div", { class: "hmm-scroll", tabindex: 0, role: "group", "aria-label": "Energy of each appliance" }, h("table", { class: "hmm-split" },
        h("thead", {}, h("tr", {}, h("th", {}), h("th", { scope: "colgroup", colspan: 3 }, days.length > 1 ? `all ${days.length} days` : "all"), today),
          h("tr", {}, ["appliance", "kWh", "90 % interval", "runs", "kWh", "90 % interval"].map((each) => h("th", { scope: "col" }, each)))),
        h("tbody", {}, names.map((_, m) => h("tr", {}, h("th", { scope: "row" }, name(m)), h("td", {}, kwh(mean[m]).toFixed(2)),
          h("td", {}, range90(mean[m], variance[m])), h("td", {}, m < M - 1 ? String(runs[m]) : "–"), cells[m]))))),
      h("div", { class: "hmm-facts" }, bold("log p(x) =", logarithm(evidence)), h("span", {}, `${seconds.toFixed(2)} s`),
        h("span", { class: "hmm-controls" }, button("Download the split as CSV", () => save(asCsv(answer, tools), "split.csv")))),
      h("p", { class: "hmm-note" }, "An interval says how far the meter leaves the energy open, if the house is as the numbers above say."
        + " It does not cover errors in these numbers, and on the real houses of this book most such intervals contained the truth on fewer days than promised."
        + " For missing minutes the energy that the model expects is counted."));
    draw();
    // A picture is drawn for its width; this one goes when another takes its place.
    const look = new ResizeObserver(() => {
      if (!frame.isConnected) look.disconnect();
      else if (Math.abs(frame.clientWidth - wide) > 2 && frame.clientWidth) draw();
    });
    look.observe(frame);
  }

  Object.assign(window.hmmExplore, { drawSplit, asCsv });
})();
