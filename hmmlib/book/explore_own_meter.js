// Your own meter: a file that never leaves the page, appliances in four numbers each, and the split.
(function () {
  "use strict";
  const { range, copy, h, set, button, hidden, shade, work } = window.hmmExplore;

  const MINUTE = 60000, DAY = 1440 * MINUTE, MOST_JOINT = 256, MOST_BYTES = 2e8, REST_COLOR = 7;
  const Z = 1.6448536269514722; // of a 90 % interval
  const NUMBERS = { watts: "Watts when on", minutes: "Minutes a run", runs: "Runs a day", spread: "Spread, W" };
  const STYLE = `
.hmm-drop{border:2px dashed color-mix(in srgb,currentColor 55%,transparent);border-radius:.5rem;padding:.6rem .8rem;margin:.5rem 0}
.hmm-drop.over{border-color:var(--best);background:color-mix(in srgb,var(--best) 12%,transparent)}
.hmm-drop p{margin:0 0 .4rem}
.hmm-explore select{font:inherit;color:inherit;background:var(--paper);border:1px solid color-mix(in srgb,currentColor 55%,transparent);border-radius:.3rem;min-height:28px;max-width:16em}
.hmm-explore td input.hmm-name{width:12em}
.hmm-explore input[aria-invalid=true]{outline:2px solid var(--best)}
.hmm-wrong{border-left:3px solid var(--best);padding:.3rem .6rem;margin:.4rem 0}
.hmm-wrong:empty{display:none}
.hmm-explore progress{width:min(320px,50vw);accent-color:var(--forward)}
.hmm-stale{opacity:.55}
.hmm-explore [hidden]{display:none}
.hmm-day{display:block}.hmm-day text{font-size:12px;fill:currentColor}
.hmm-frame{overflow:hidden}
@media screen and (max-width:600px){.hmm-explore :is(.hmm-told,.hmm-split){display:block;margin-right:0}
.hmm-explore :is(.hmm-told,.hmm-split) :is(caption,tbody,thead){display:block}
.hmm-explore .hmm-told thead{position:absolute;clip-path:inset(50%)}
.hmm-explore .hmm-told tr{display:grid;grid-template-columns:1fr 1fr;gap:.2rem .8rem;margin-bottom:.5rem;padding:.3rem 0;border-top:1px solid var(--rule)}
.hmm-explore .hmm-told td{display:flex;justify-content:space-between;align-items:center;gap:.4rem;padding:0;white-space:normal}
.hmm-explore .hmm-told td[data-name]::before{content:attr(data-name)}
.hmm-explore .hmm-told td:last-child{order:-1;justify-content:flex-end}.hmm-explore .hmm-told td:first-child{order:-2}
.hmm-explore .hmm-told td input{width:4.4em}.hmm-explore .hmm-told td input.hmm-name{width:100%}
.hmm-explore .hmm-split tr{display:grid;grid-template-columns:1fr 7.4em 2.4em 7.4em;align-items:center;padding:.15rem 0;border-top:1px solid var(--rule)}
.hmm-explore .hmm-split :is(th,td){padding:0 .15rem;text-align:right}.hmm-explore .hmm-split tr>:first-child{text-align:left;white-space:normal}
.hmm-explore .hmm-split tr>:nth-child(1),.hmm-explore .hmm-split tr>:nth-child(4){grid-row:1/3}.hmm-explore .hmm-split tr>:nth-child(4){grid-column:3}
.hmm-explore .hmm-split tr>:nth-child(2){grid-area:1/2}.hmm-explore .hmm-split tr>:nth-child(3){grid-area:2/2}
.hmm-explore .hmm-split tr>:nth-child(5){grid-area:1/4}.hmm-explore .hmm-split tr>:nth-child(6){grid-area:2/4}
.hmm-explore .hmm-split thead tr:first-child>:nth-child(3){grid-area:1/3/2/5}}
@media(forced-colors:active){.hmm-legend .hmm-s,.hmm-split .hmm-s,td>.hmm-s{forced-color-adjust:none;color:CanvasText}}
.hmm-split td,.hmm-split thead th:not(:first-child){text-align:right}
.hmm-note{font-size:13px;margin:.4rem 0}`;

  const date = (ms) => new Date(ms).toLocaleDateString("en-GB", { weekday: "short", day: "numeric", month: "long", year: "numeric", timeZone: "UTC" });
  const stamp = (ms) => new Date(ms).toISOString().slice(0, 16).replace("T", " ");
  const thousands = (v) => Math.round(v).toLocaleString("en");
  const kwh = (v) => v / 60000; // of watts summed over minutes
  const interval = (mean, variance) => {
    const half = Z * Math.sqrt(Math.max(0, variance));
    return [Math.max(0, kwh(mean - half)), kwh(mean + half)];
  };

  // The days of a series: from which step to which, and when midnight was.
  function daysOf({ start, watts }) {
    const found = [], offset = (start - Math.floor(start / DAY) * DAY) / MINUTE;
    for (let from = 0; from < watts.length;) {
      const midnight = Math.floor((start + from * MINUTE) / DAY) * DAY;
      const to = Math.min(watts.length, Math.ceil((midnight + DAY - start) / MINUTE));
      found.push({ from, to, midnight, first: from ? (start + from * MINUTE - midnight) / MINUTE : offset });
      from = to;
    }
    return found;
  }
  // In how many runs the appliance is more probably on than off.
  function runsOf(probs, size) {
    const on = (t) => probs[t * size] < 0.5;
    return range(probs.length / size).filter((t) => on(t) && !(t && on(t - 1))).length;
  }
  // What is wrong with an appliance's numbers, as nilm.described_appliance says it; or null.
  function wrongWith({ name, watts, minutes, runs, spread }, others) {
    const given = { watts, minutes, runs, spread }, bad = Object.keys(given).find((each) => !(given[each] > 0 && given[each] < Infinity));
    if (!name.trim() || others.filter((each) => each.name.trim() === name.trim()).length > 1 || name.trim() === "rest")
      return ["name", `${name.trim() || "An appliance"}: each needs a name of its own, and “rest” is taken.`];
    if (bad) return [bad, `${name}: “${NUMBERS[bad]}” needs a number above 0.`];
    if (minutes < 1) return ["minutes", `${name}: a run takes one minute or more.`];
    if (1440 / runs - minutes < 1) return ["runs", `${name}: ${runs} runs of ${minutes} minutes leave no minute of the day in between.`];
    return null;
  }

  function ownMeter(root, given) {
    if (!document.getElementById("hmm-own-style")) document.head.append(h("style", { id: "hmm-own-style" }, STYLE));
    const sample = { start: given.start, watts: Float64Array.from(given.watts, (v) => v ?? NaN), name: given.source };
    const now = { appliances: copy(given.appliances), size: given.size, meter: sample, bytes: null, chosen: {}, answer: null, day: 0 };
    let stop = { now() {} };

    // ------------------------------------------------- the file
    const input = h("input", { type: "file", hidden: true, onchange: () => { take(input.files[0]); input.value = ""; } });
    const options = h("div", { class: "hmm-bar hmm-controls" }), wrong = h("div", { class: "hmm-wrong", role: "alert" });
    const zone = h("div", { class: "hmm-drop hmm-controls" },
      h("p", {}, h("b", {}, "Drop a CSV file of your power meter here."), " A time and watts in each line, one a minute or more often. The file is read"
        + " by this page in your browser: nothing is sent anywhere, and nothing is stored."),
      h("div", { class: "hmm-bar", style: "margin:0" }, button("Choose a file", () => input.click()), button("Sample data", () => {
        Object.assign(now, { appliances: copy(given.appliances), size: given.size, meter: sample, bytes: null });
        rows(); choices(null); split();
      }), input));
    const inside = (event) => [...event.dataTransfer.types].includes("Files");
    for (const [name, over] of [["dragenter", true], ["dragover", true], ["dragleave", false], ["drop", false]])
      zone.addEventListener(name, (event) => {
        if (!inside(event)) return;
        event.preventDefault();
        zone.classList.toggle("over", over);
        if (name === "drop") take(event.dataTransfer.files[0]);
      });
    async function take(file) {
      if (!file) return;
      if (file.size > MOST_BYTES) { complain(`${file.name} has ${thousands(file.size / 1e6)} MB, this page reads up to 200; cut out some weeks.`); return; }
      now.bytes = await file.arrayBuffer();
      now.chosen = {}; now.name = file.name;
      readFile();
    }
    async function readFile() {
      const found = await busy("Reading the file", "read", { bytes: now.bytes, chosen: now.chosen });
      if (!found) return;
      now.meter = { ...found, name: now.name };
      choices(found);
      split();
    }
    // What a reader may choose where the file leaves it open.
    function choices(found) {
      const choose = (label, name, values, chosen) => h("label", {}, label, " ", h("select", { onchange: (event) => {
        now.chosen[name] = values[event.target.selectedIndex][0];
        if (name === "power") delete now.chosen.unit;
        readFile();
      } }, values.map(([value, text]) => h("option", { selected: value === chosen }, text))));
      options.replaceChildren(...(found ? [
        found.columns.length > 1 && choose("Column", "power", found.columns.map(({ c, name }) => [c, name]), found.power),
        choose("Readings in", "unit", [["W", "W"], ["kW", "kW"]], found.unit),
        found.ambiguous && choose("dates begin with the", "dayFirst", [[true, "day"], [false, "month"]], found.dayFirst),
      ].filter(Boolean) : []));
    }

    // ------------------------------------------------- the appliances
    const body = h("tbody"), size = h("select", { "aria-label": "Levels of the rest", onchange: () => { now.size = Number(size.value); changed(); } },
      range(4).map((k) => h("option", { value: k + 1 }, String(k + 1)))), joint = h("b");
    const add = button("Add an appliance", () => {
      now.appliances.push({ name: `appliance ${now.appliances.length + 1}`, watts: 2000, minutes: 30, runs: 1, spread: 100 });
      rows(); changed(); body.lastChild.querySelector("input").select();
    });
    const field = (each, name, i) => h("input", { ...(name === "name" ? { class: "hmm-name", maxlength: 30 } : { type: "number", min: 0, step: "any" }),
      value: each[name], "data-field": name, "aria-label": `${NUMBERS[name] ?? "Name"}, appliance ${i + 1}`,
      oninput: (event) => { each[name] = name === "name" ? event.target.value : event.target.valueAsNumber; changed(); } });
    function rows() {
      body.replaceChildren(...now.appliances.map((each, i) => h("tr", {}, h("td", {}, h("span", { class: "hmm-s", style: `--c:${shade(i)}` }, field(each, "name", i))),
        Object.entries(NUMBERS).map(([name, label]) => h("td", { "data-name": label }, field(each, name, i))),
        h("td", { class: "hmm-controls" }, button("Remove", () => { now.appliances.splice(i, 1); rows(); changed(); add.focus(); },
          { "aria-label": `Remove appliance ${i + 1}`, disabled: now.appliances.length === 1 })))));
      size.value = now.size;
      changed();
    }
    const joints = () => 2 ** now.appliances.length * now.size;
    function changed() {
      joint.textContent = `${joints()} of at most ${MOST_JOINT}`;
      add.disabled = 2 * joints() > MOST_JOINT;
      result.classList.add("hmm-stale");
    }

    // ------------------------------------------------- work
    const voice = hidden({ "aria-live": "polite" }), bar = h("progress", { max: 1, "aria-label": "Share of the work that is done" }), doing = h("span");
    const start = button("Split the meter", () => split()), cancel = button("Cancel", () => { stop.now(); idle("Cancelled"); });
    const working = h("div", { class: "hmm-bar hmm-controls", hidden: true }, doing, bar, cancel);
    const result = h("div");
    const complain = (text) => { wrong.textContent = text; };
    function idle(text) { working.hidden = true; start.disabled = false; if (text) voice.textContent = text; }
    // The answer; null where the work was refused. A new piece of work ends the one before.
    async function busy(text, name, what) {
      stop.now(); stop = { now() {} };
      complain(""); doing.textContent = text; bar.value = 0; working.hidden = false; start.disabled = true;
      try {
        const answer = await work(name, what, (share) => { bar.value = share; }, stop);
        idle();
        return answer;
      } catch (error) { idle(); complain(error.message); return null; }
    }
    async function split() {
      body.querySelectorAll("[aria-invalid]").forEach((each) => each.removeAttribute("aria-invalid"));
      for (const [i, each] of now.appliances.entries()) {
        const bad = wrongWith(each, now.appliances);
        if (bad) { set(body.rows[i].querySelector(`[data-field=${bad[0]}]`), { "aria-invalid": "true" }); complain(bad[1]); return; }
      }
      const { meter } = now, appliances = copy(now.appliances), days = daysOf(meter), began = performance.now();
      const answer = await busy("Splitting the meter", "split", { appliances, size: now.size, x: meter.watts, days: days.map(({ to }) => to) });
      if (!answer) return;
      const names = [...appliances.map(({ name }) => name.trim()), "rest"];
      now.answer = { ...answer, meter, days, names, seconds: (performance.now() - began) / 1000,
        runs: appliances.map((_, m) => runsOf(answer.probs[m], 2)) };
      now.day = Math.min(given.day ?? 0, days.length - 1);
      window.hmmExplore.drawSplit(result, now.answer, now.day, tools);
      result.classList.remove("hmm-stale");
      voice.textContent = names.map((name, m) => `${name} ${kwh(answer.mean[m]).toFixed(1)} kilowatt-hours`).join(", ");
    }
    const color = (m, M) => shade(m === M - 1 ? REST_COLOR : m);
    const tools = { color, kwh, interval, date, stamp, thousands, voice }; // for drawSplit

    const columns = ["Appliance", ...Object.values(NUMBERS), ""].map((text) => h("th", { scope: "col" }, text));
    root.replaceChildren(zone, options, h("div", { class: "hmm-scroll" }, h("table", { class: "hmm-told" }, h("caption", {}, "Your appliances, in four numbers each"),
      h("thead", {}, h("tr", {}, columns)), body)),
      h("div", { class: "hmm-bar" }, h("span", { class: "hmm-controls" }, add), h("label", {}, "Levels of the rest ", size), h("span", {}, "joint states ", joint)),
      h("p", { class: "hmm-note" }, "The rest is everything that you do not describe. Its levels come from the readings that are too low for any of your appliances to be on."),
      h("div", { class: "hmm-bar hmm-controls" }, start), working, wrong, result, voice);
    rows();
    split();
  }

  window.hmmExplore.kinds.own_meter = ownMeter;
  Object.assign(window.hmmExplore, { daysOf, runsOf });
})();
