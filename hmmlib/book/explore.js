// Figures that compute in the reader's browser: a trellis, a signal, a meter.
// No framework, no network. hmmlib.book.explore writes the elements that this file brings to life.
(function () {
  "use strict";
  if (window.hmmExplore) return window.hmmExplore.start();

  // ------------------------------------------------- the recursions, in logs: K states, T steps

  const log = Math.log, exp = Math.exp, NO = -Infinity; // -Infinity is an honest log 0
  const range = (n) => Array.from({ length: n }, (_, i) => i);
  const sum = (values) => values.reduce((a, b) => a + b, 0);
  const max = (values) => values.reduce((a, b) => (b > a ? b : a), NO);
  const copy = (value) => JSON.parse(JSON.stringify(value));

  function logsumexp(values) {
    const top = max(values);
    return top === NO ? NO : top + log(sum(values.map((v) => exp(v - top))));
  }

  // log p(x_1..t, z_t); with `reduce` = max the score of the best path that ends in z_t.
  function forward({ pi, A }, b, reduce) {
    const messages = [pi.map((p, k) => log(p) + b[0][k])];
    for (let t = 1; t < b.length; t++) {
      const last = messages[t - 1];
      messages.push(pi.map((_, j) => reduce(last.map((m, i) => m + log(A[i][j]))) + b[t][j]));
    }
    return messages;
  }

  // log p(x_t+1..T | z_t)
  function backward({ pi, A }, b) {
    const messages = [pi.map(() => 0)];
    for (let t = b.length - 1; t > 0; t--) {
      const next = messages[0];
      messages.unshift(A.map((row) => logsumexp(row.map((a, j) => log(a) + b[t][j] + next[j]))));
    }
    return messages;
  }

  // The states of the best path, chosen from the last step to the first.
  function traceBack({ A }, delta) {
    const first = (scores) => scores.indexOf(max(scores));
    let t = delta.length - 1;
    const path = [first(delta[t])];
    for (; t > 0; t--) path.unshift(first(delta[t - 1].map((d, i) => d + log(A[i][path[0]]))));
    return path;
  }

  // b[t][k] = log p(x_t | z_t = k). With impossible observations gamma and path are null.
  function compute(model, b) {
    const alpha = forward(model, b, logsumexp), beta = backward(model, b);
    const delta = forward(model, b, max), last = b.length - 1;
    const evidence = logsumexp(alpha[last]), possible = evidence > NO;
    const gamma = possible
      ? alpha.map((row, t) => row.map((a, k) => exp(a + beta[t][k] - evidence))) : null;
    return { alpha, beta, delta, gamma, evidence, best: max(delta[last]),
      path: possible ? traceBack(model, delta) : null };
  }

  // Every path with its log joint probability, the most probable first.
  function allPaths({ pi, A }, b) {
    let paths = pi.map((p, k) => ({ states: [k], score: log(p) + b[0][k] }));
    for (let t = 1; t < b.length; t++)
      paths = paths.flatMap(({ states, score }) => A[states[t - 1]].map((a, j) => (
        { states: [...states, j], score: score + log(a) + b[t][j] })));
    return paths.sort((a, b) => b.score - a.score || 0);
  }

  // log b of a table B of symbols, and of normal densities; a missing observation says nothing.
  const ofSymbols = ({ B, x }) => x.map((v) => B.map((row) => (v < 0 ? 0 : log(row[v]))));
  const density = (x, mean, scale) =>
    -0.5 * ((x - mean) / scale) ** 2 - log(scale) - 0.5 * log(2 * Math.PI);
  const ofReadings = ({ means, scales, x }) =>
    x.map((v) => means.map((m, k) => (v === null ? 0 : density(v, m, scales[k]))));

  // Several chains as one: joint states, in the order of itertools.product.
  const product = (sizes) => sizes.reduce(
    (all, n) => all.flatMap((part) => range(n).map((k) => [...part, k])), [[]]);
  function joined({ pis, As, levels }) {
    const joint = product(pis.map((pi) => pi.length));
    const times = (factors) => factors.reduce((a, b) => a * b, 1);
    return { joint, pi: joint.map((z) => times(z.map((k, m) => pis[m][k]))),
      A: joint.map((from) => joint.map((to) => times(to.map((k, m) => As[m][from[m]][k])))),
      watts: joint.map((z) => sum(z.map((k, m) => levels[m][k]))) };
  }

  // A row of probabilities in which entry k becomes v; the others keep their proportions.
  function normalise(row, k, v) {
    v = row.length > 1 ? Math.min(1, Math.max(0, v)) : 1;
    const rest = sum(row) - row[k];
    return row.map((p, i) => (i === k ? v : rest > 0 ? (p / rest) * (1 - v)
      : (1 - v) / (row.length - 1)));
  }

  // ------------------------------------------------- writing

  // An element; text is always text, so that a label cannot become markup.
  function h(tag, attributes, ...children) {
    const drawn = ["svg", "line", "path", "g", "circle", "rect", "text", "polyline"].includes(tag);
    const node = drawn ? document.createElementNS("http://www.w3.org/2000/svg", tag)
      : document.createElement(tag);
    for (const [name, value] of Object.entries(attributes || {}))
      if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
      else set(node, { [name]: value });
    node.append(...children.flat(9).filter((child) => child !== null && child !== undefined));
    return node;
  }
  const set = (node, attributes) => Object.entries(attributes).forEach(([name, value]) =>
    (value === null || value === undefined || value === false ? node.removeAttribute(name)
      : node.setAttribute(name, value === true ? "" : value)));
  const button = (text, onclick, more) => h("button", { type: "button", onclick, ...more }, text);
  const bold = (name, value) => h("span", {}, name + " ", h("b", {}, value));
  const hidden = (attributes) => h("div", { class: "hmm-hidden", ...attributes });

  const SUPER = { "-": "⁻", 0: "⁰", 1: "¹", 2: "²", 3: "³", 4: "⁴", 5: "⁵", 6: "⁶", 7: "⁷", 8: "⁸", 9: "⁹" };
  // e^value, however small it is: four digits, or three with a power of ten; `few` is two less.
  function probability(value, few = 0) {
    if (value === NO) return "0";
    if (Math.abs(value) < 1e-12) return "1";
    if (value > log(0.001)) return String(Number(exp(value).toPrecision(4 - few)));
    let power = Math.floor(value / Math.LN10), digits = exp(value - power * Math.LN10).toFixed(2 - few / 2);
    if (Number(digits) === 10) { digits = (1).toFixed(2 - few / 2); power += 1; }
    return digits + "·10" + String(power).replace(/./g, (c) => SUPER[c]);
  }
  const logarithm = (value) => (value === NO ? "−∞" : value.toFixed(6).replace("-", "−"));
  const percent = (p) => (p * 100).toFixed(p < 0.1 ? 2 : 1) + " %";
  const short = (p) => (p >= 0.9995 ? "1" : p.toFixed(3).replace(/^0/, ""));
  const shade = (k) => `var(--state${k})`;

  // The shortest beginnings that tell the labels apart.
  function initials(labels) {
    for (let n = 1; n <= 3; n++) {
      const cut = labels.map((label) => Array.from(label).slice(0, n).join(""));
      if (new Set(cut).size === labels.length) return cut;
    }
    return labels;
  }

  const STYLE = `
.hmm-explore{--rule:color-mix(in srgb,currentColor 30%,transparent);font:14px/1.45 system-ui,sans-serif;margin:1rem 0;padding:.75rem;border:1px solid var(--rule);border-radius:.5rem}
.hmm-explore *{box-sizing:border-box}
.hmm-explore button,.hmm-explore input{font:inherit;color:inherit;background:transparent;border:1px solid color-mix(in srgb,currentColor 55%,transparent);border-radius:.3rem;padding:.15rem .55rem;min-height:28px}
.hmm-explore button{cursor:pointer}
.hmm-explore button:disabled{opacity:.45;cursor:default}
.hmm-explore button[aria-pressed=true]{background:var(--ink);color:var(--paper);border-color:var(--ink)}
.hmm-explore :focus-visible{outline:3px solid var(--best);outline-offset:2px}
.hmm-bar{display:flex;flex-wrap:wrap;gap:.35rem;align-items:center;margin-bottom:.5rem}
.hmm-gap{flex:1}
.hmm-scroll{overflow-x:auto;position:relative;padding-bottom:.4rem}
.hmm-grid{position:relative;display:grid;min-width:max-content;justify-items:center;row-gap:3px}
.hmm-grid>svg{position:absolute;inset:0;width:100%;height:100%;pointer-events:none;overflow:visible}
.hmm-explore .hmm-node{position:relative;z-index:1;width:36px;height:36px;border-radius:50%;padding:0;border:2px solid var(--c);background:var(--c);color:var(--on)}
.hmm-explore .hmm-node.off{background:var(--paper);color:inherit}
.hmm-node.on-path{box-shadow:0 0 0 4px var(--best)}
.hmm-under{font-size:10.5px;line-height:1.25;text-align:center;z-index:1;white-space:nowrap;font-variant-numeric:tabular-nums;letter-spacing:-.05em}
.hmm-number{margin-bottom:18px;background:var(--paper)}
.hmm-explore .hmm-word{z-index:1;font-size:11px;padding:.1rem 0;width:40px;overflow:hidden;text-overflow:ellipsis;white-space:nowrap}
.hmm-label{position:sticky;left:0;z-index:2;background:var(--paper);align-self:center;justify-self:start;padding-right:.3rem;font-weight:600;max-width:8em;overflow:hidden;text-overflow:ellipsis}
.hmm-stack{width:34px;height:40px;display:flex;flex-direction:column;border:1px solid var(--rule)}
.hmm-say{min-height:4.6em;padding:.45rem .6rem;margin:.5rem 0;border-left:3px solid var(--q);overflow-wrap:anywhere}
.hmm-q{color:var(--q);font-style:italic;font-weight:600}
.hmm-s{border-bottom:3px solid var(--c)}
.hmm-explore sub{font-size:.75em;line-height:0}
.hmm-facts{display:flex;flex-wrap:wrap;gap:.2rem 1.6rem;margin:.4rem 0}
.hmm-explore b{font-variant-numeric:tabular-nums}
.hmm-explore table{border-collapse:collapse;margin:.3rem 1.5rem .3rem 0;display:inline-table;width:auto;vertical-align:top;font-size:13px}
.hmm-explore caption{caption-side:top;text-align:left;font-weight:600;padding:0;color:inherit}
.hmm-explore tr,.hmm-explore th,.hmm-explore td{padding:.1rem .3rem;text-align:left;border:0;font-weight:400;background:transparent;color:inherit;white-space:nowrap}
.hmm-explore td{padding-right:.8rem;font-variant-numeric:tabular-nums}
.hmm-explore td input{width:5.2em;padding:.1rem .25rem}
.hmm-explore details{margin:.3rem 0}.hmm-explore summary{cursor:pointer}
.hmm-hidden{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
.hmm-chart{display:block;width:100%;min-width:560px;height:auto}
.hmm-chart text{font-size:12px;fill:currentColor}
.hmm-handle{cursor:ns-resize;touch-action:none;stroke:var(--ink);stroke-width:1.5}
.hmm-meter{display:inline-block;width:120px;height:12px;border:1px solid var(--rule);vertical-align:middle}
.hmm-meter i{display:block;height:100%}
.hmm-explore input[type=range]{padding:0;vertical-align:middle;width:min(320px,60vw);accent-color:var(--forward)}
@media(prefers-reduced-motion:no-preference){.hmm-node{transition:background .25s}}`;

  // Colours come with the model, for a light page and a dark one; the page's own text tells which.
  function paint(root, palette) {
    const [r, g, b] = getComputedStyle(root).color.match(/[\d.]+/g).map(Number);
    const dark = 0.2126 * r + 0.7152 * g + 0.0722 * b > 127;
    for (const [name, value] of Object.entries(palette[dark ? "dark" : "light"]))
      root.style.setProperty(`--${name}`, value);
  }

  // ------------------------------------------------- a link that holds the numbers

  const pack = (now) => Object.entries(now).map(([name, value]) =>
    `${name}=${[value].flat(3).map((v) => (v === null ? "" : v)).join(",")}`).join(";");

  // The state that a link tells, in the shape of `like`; null if it makes no sense.
  function unpack(text, like) {
    const told = Object.fromEntries(text.split(";").map((part) => part.split("=")));
    const now = {};
    for (const [name, shape] of Object.entries(like)) {
      const values = (told[name] ?? "").split(",");
      const fill = (each) => {
        if (Array.isArray(each)) return each.map(fill);
        const value = values.shift();
        return typeof each === "string" ? value : value === "" ? null : Number(value);
      };
      now[name] = fill(shape);
      if (values.length || [now[name]].flat(3).some((v) => v === undefined || Number.isNaN(v)))
        return null;
    }
    return now;
  }
  const isRow = (row) => row.every((p) => p >= 0 && p <= 1) && Math.abs(sum(row) - 1) < 1e-6;

  // What every figure has: its state `now`, a link, a way back, and a voice for screen readers.
  // `valid` judges a state that a link tells; `show` writes the state on the page.
  function begin(root, first, valid, show) {
    const at = { now: copy(first), voice: hidden({ "aria-live": "polite" }) };
    const [name, ...rest] = location.hash.slice(1).split(";");
    const told = name === root.id ? unpack(rest.join(";"), first) : null;
    if (told && valid(told)) at.now = told;
    let wait = null;
    at.change = (what) => { Object.assign(at.now, what); show(); };
    at.say = (text) => { clearTimeout(wait); wait = setTimeout(() => { at.voice.textContent = text; }, 400); };
    const share = button("Share", () => {
      const link = `${location.href.split("#")[0]}#${root.id};${pack(at.now)}`;
      try { history.replaceState(null, "", link); } catch { /* a sandboxed frame keeps its address */ }
      const done = (text) => { share.textContent = text; at.say(text);
        setTimeout(() => { share.textContent = "Share"; }, 2500); };
      const copied = navigator.clipboard ? navigator.clipboard.writeText(link) : Promise.reject();
      copied.then(() => done("Link copied"), () => done("The link is in the address bar"));
    });
    at.buttons = [button("Reset", () => at.change(copy(first))), share];
    return at;
  }

  // ------------------------------------------------- the trellis

  const QUESTIONS = {
    forward: { name: "Forward", symbol: "α", numbers: "alpha", color: "forward" },
    backward: { name: "Backward", symbol: "β", numbers: "beta", color: "backward" },
    smoothing: { name: "Smoothing", symbol: "γ", color: "smoothed" },
    viterbi: { name: "Viterbi", symbol: "δ", numbers: "delta", color: "best" },
  };
  const MOST_PATHS = 20000;

  function trellis(root, { states, symbols, pi, A, B, x, question }) {
    const K = states.length, T = x.length, all = range(K), letters = initials(states);
    let answer, b, focus = [0, 0], timer = null;
    const at = begin(root, { pi, A, B, x, question, step: question === "viterbi" ? 2 * T : T },
      (told) => isRow(told.pi) && told.A.every(isRow) && told.B.every(isRow) &&
        Object.hasOwn(QUESTIONS, told.question) && Number.isInteger(told.step) && told.step >= 0 &&
        told.step <= 2 * T &&
        told.x.every((v) => Number.isInteger(v) && v >= -1 && v < symbols.length), update);
    const asked = () => QUESTIONS[at.now.question];
    const steps = () => (at.now.question === "viterbi" ? 2 * T : T);
    const onwards = () => ["forward", "viterbi"].includes(at.now.question);
    const known = (t) => (onwards() ? t < at.now.step : t >= T - at.now.step); // on the page yet?
    const onPath = (t, k) => at.now.question === "viterbi" && answer.path !== null &&
      answer.path[t] === k && 2 * T - t <= at.now.step;
    const word = (v) => (v < 0 ? "?" : symbols[v]);

    // The arithmetic of a number, in the symbols of the equations.
    const color = (name) => Object.values(QUESTIONS).find((o) => o.symbol === name).color;
    const s = (k) => h("span", { class: "hmm-s", style: `--c:${shade(k)}` }, letters[k]);
    const q = (name, t, k) => h("span", { class: "hmm-q", style: `--q:var(--${color(name)})` },
      name, h("sub", {}, String(t + 1)), "(", s(k), ")");
    const entry = (name, ...of) => [h("i", {}, name), h("sub", {}, of.map((each, n) => [
      n ? " " : "", typeof each === "number" ? s(each) : each]))];
    const emits = (t, k) => (at.now.x[t] < 0 ? "1" : entry("B", k, word(at.now.x[t])));
    const between = (list, glue) => list.flatMap((each, n) => (n ? [glue, each] : [each]));
    const p = probability;

    function arithmetic(t, k) {
      const { alpha, beta, delta, gamma, evidence } = answer, { now } = at;
      if (now.question === "smoothing")
        return gamma === null ? ["These words are impossible: p(x) = 0, and nothing can be said."]
          : [q("γ", t, k), " = ", q("α", t, k), " · ", q("β", t, k), " / p(x) = ",
            `${p(alpha[t][k])} · ${p(beta[t][k])} / ${p(evidence)} = `, h("b", {}, short(gamma[t][k]))];
      if (now.question === "backward")
        return t === T - 1 ? [q("β", t, k), " = ", h("b", {}, "1"), ": nothing follows the last day"]
          : [q("β", t, k), " = ", between(all.map((j) => [entry("A", k, j), " · ", emits(t + 1, j), " · ",
            q("β", t + 1, j)]), " + "), " = ", between(all.map((j) =>
            `${p(log(now.A[k][j]))} · ${p(b[t + 1][j])} · ${p(beta[t + 1][j])}`), " + "), " = ",
            h("b", {}, p(beta[t][k]))];
      const best = now.question === "viterbi", name = best ? "δ" : "α", m = best ? delta : alpha;
      if (t === 0)
        return [q(name, t, k), " = ", h("i", {}, "π"), h("sub", {}, s(k)), " · ", emits(t, k), " = ",
          `${p(log(now.pi[k]))} · ${p(b[t][k])} = `, h("b", {}, p(m[t][k]))];
      const glue = best ? ", " : " + ", open = best ? "max( " : "( ";
      return [q(name, t, k), " = ", open, between(all.map((i) => [q(name, t - 1, i), " · ",
        entry("A", i, k)]), glue), " ) · ", emits(t, k), " = ", open, between(all.map((i) =>
        `${p(m[t - 1][i])} · ${p(log(now.A[i][k]))}`), glue), ` ) · ${p(b[t][k])} = `,
        h("b", {}, p(m[t][k]))];
    }
    const number = (t, k, few) => (asked().numbers ? p(answer[asked().numbers][t][k], few)
      : answer.gamma ? short(answer.gamma[t][k]) : "–");

    // Building, once.
    const go = (step) => {
      step = Math.min(steps(), Math.max(0, step));
      const t = onwards() ? Math.min(step, 2 * T - step) : T - step;
      focus = [Math.min(T - 1, Math.max(0, onwards() && step <= T ? t - 1 : t)), focus[1]];
      at.change({ step });
    };
    const halt = () => { clearInterval(timer); timer = null; play.textContent = "Play"; };
    const begun = (ask) => { halt(); at.change({ question: ask, step: ask === "viterbi" ? 2 * T : T }); };
    const asks = Object.entries(QUESTIONS).map(([ask, { name }]) =>
      button(name, () => begun(ask), { "data-ask": ask }));
    const back = button("◀", () => { halt(); go(at.now.step - 1); }, { "aria-label": "One step back" });
    const on = button("▶", () => { halt(); go(at.now.step + 1); }, { "aria-label": "One step on" });
    const play = button("Play", () => {
      if (timer) return halt();
      if (at.now.step >= steps()) go(0);
      play.textContent = "Pause";
      timer = setInterval(() => {
        if (!root.isConnected || at.now.step >= steps()) return halt();
        go(at.now.step + 1);
      }, 700);
    });
    const say = h("div", { class: "hmm-say" }), facts = h("div", { class: "hmm-facts" });
    const lines = h("svg", { "aria-hidden": "true" });
    const grid = h("div", { class: "hmm-grid", role: "group", "aria-label":
      "Trellis: a column for each day, a circle for each state. Arrow keys move between circles.",
      style: `grid-template-columns:auto repeat(${T},minmax(41px,1fr))`, onkeydown: keys }, lines);
    const row = (label, cells) => { grid.append(label, ...cells); return cells; };
    const label = (text, k) => h("span", { class: k === undefined ? "hmm-label" : "hmm-label hmm-s",
      style: k === undefined ? null : `--c:${shade(k)}` }, text);
    row(label("day"), range(T).map((t) => h("span", { class: "hmm-under" }, String(t + 1))));
    const nodes = [], under = [];
    for (const k of all) {
      nodes.push(row(label(states[k], k), range(T).map((t) => button(letters[k], () => look(t, k),
        { class: "hmm-node", style: `--c:${shade(k)};--on:var(--on${k})`, onfocus: () => look(t, k),
          onpointerenter: () => look(t, k) }))));
      under.push(row(h("span"), range(T).map(() => h("span", { class: "hmm-under hmm-number" }))));
    }
    const words = row(label("observed"), range(T).map((t) => button("", () => at.change({ x: at.now.x.map(
      (v, u) => (u !== t ? v : v + 1 < symbols.length ? v + 1 : -1)) }), { class: "hmm-word" })));
    const stacks = row(label("posterior"), range(T).map(() => h("span", { class: "hmm-stack", role: "img" })));
    const edges = range(T - 1).map(() => all.map(() => all.map(() => h("line"))));
    lines.append(...edges.flat(2));

    const fills = [];
    const table = (name, rows, labels, read, write) => h("table", {}, h("caption", {}, name), h("tbody", {},
      h("tr", {}, h("td"), labels.map((each) => h("th", { scope: "col" }, each))),
      rows.map((each, i) => h("tr", {}, h("th", { scope: "row" }, each), labels.map((to, j) => {
        const take = () => {
          const value = Number(box.value);
          if (box.value !== "" && Number.isFinite(value)) write(i, normalise(read(i), j, value));
          update();
        };
        const box = h("input", { type: "number", min: 0, max: 1, step: 0.05, "aria-label": `${name}: ${each} ${to}`,
          onchange: take, onkeydown: (event) => { if (event.key === "Enter") take(); } });
        fills.push(() => { box.value = String(Number(read(i)[j].toFixed(4))); });
        return h("td", {}, box);
      })))));
    const editor = h("details", {}, h("summary", {}, "Change the story: π, A, B"), h("div", { class: "hmm-scroll" },
      table("π, the first day", [""], states, () => at.now.pi, (_, r) => { at.now.pi = r; }),
      table("A, from (row) to (column)", states, states, (i) => at.now.A[i], (i, r) => { at.now.A[i] = r; }),
      table("B, what is seen", states, symbols, (i) => at.now.B[i], (i, r) => { at.now.B[i] = r; })),
      "When an entry changes, the others of its row make room: a row sums to one.");
    const list = h("div", { class: "hmm-scroll", tabindex: 0, role: "group", "aria-label": "The best paths" });
    const paths = h("details", { ontoggle: update }, h("summary", {}, `Compare with all ${K}`,
      h("sup", {}, String(T)), ` = ${(K ** T).toLocaleString("en")} paths`), list);
    root.replaceChildren(h("div", { class: "hmm-bar", role: "group", "aria-label": "Algorithm" }, asks,
      h("span", { class: "hmm-gap" }), back, on, play, at.buttons), h("div", { class: "hmm-scroll" }, grid),
      say, facts, at.voice, editor, ...(K ** T <= MOST_PATHS ? [paths] : []));

    function look(t, k) { focus = [t, k]; explain(); }
    function keys(event) {
      const move = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] }[event.key];
      if (!move || !event.target.classList.contains("hmm-node")) return;
      event.preventDefault(); event.stopPropagation();
      const t = Math.min(T - 1, Math.max(0, focus[0] + move[0]));
      nodes[Math.min(K - 1, Math.max(0, focus[1] + move[1]))][t].focus();
    }

    function explain() {
      const [t, k] = focus, tint = `var(--${asked().color})`;
      say.style.setProperty("--q", tint);
      say.replaceChildren(h("div", {}, `Day ${t + 1}, ${states[k]}, ${
        at.now.x[t] < 0 ? "nothing heard" : word(at.now.x[t])}:`),
        h("div", {}, known(t) ? arithmetic(t, k) : "not computed yet"));
      nodes.forEach((each, i) => each.forEach((node, u) => { node.tabIndex = u === t && i === k ? 0 : -1; }));
      edges.forEach((column, u) => column.forEach((from, i) => from.forEach((line, j) => {
        const used = at.now.question === "backward" ? u === t && i === k : u + 1 === t && j === k;
        const chosen = onPath(u, i) && onPath(u + 1, j);
        const lit = used && known(t) && at.now.question !== "smoothing";
        set(line, { stroke: chosen ? "var(--best)" : lit ? tint : "currentColor",
          "stroke-width": chosen ? 5 : lit ? 2.5 : 1,
          "stroke-opacity": chosen || lit ? 1 : at.now.A[i][j] > 0 ? 0.3 : 0 });
      })));
    }
    function update() {
      b = ofSymbols(at.now);
      answer = compute(at.now, b);
      const { gamma, evidence, path, best } = answer;
      asks.forEach((each) => set(each, { "aria-pressed": String(each.dataset.ask === at.now.question) }));
      back.disabled = at.now.step <= 0; on.disabled = at.now.step >= steps();
      fills.forEach((fill) => fill());
      words.forEach((each, t) => {
        each.textContent = word(at.now.x[t]);
        set(each, { "aria-label": `Day ${t + 1}: ${at.now.x[t] < 0 ? "nothing heard" : word(at.now.x[t])}; press for the next` });
      });
      for (const k of all) for (const t of range(T)) {
        const node = nodes[k][t];
        node.classList.toggle("off", !known(t));
        node.classList.toggle("on-path", onPath(t, k));
        under[k][t].textContent = known(t) ? number(t, k, 2) : "·";
        set(node, { "aria-label": `Day ${t + 1}, ${states[k]}: ${known(t) ? `${asked().symbol} = ${number(t, k)}`
          : "not computed yet"}${onPath(t, k) ? ", on the best path" : ""}` });
      }
      stacks.forEach((stack, t) => {
        const told = gamma ? gamma[t].map((g, k) => `${states[k]} ${short(g)}`).join(", ") : "impossible";
        stack.replaceChildren(...(gamma ? gamma[t].map((g, k) =>
          h("span", { style: `height:${100 * g}%;background:${shade(k)}` })) : []));
        set(stack, { title: told, "aria-label": `Day ${t + 1}: ${told}` });
      });
      facts.replaceChildren(bold("log p(x) =", logarithm(evidence)), ...(path ? [
        bold("best path", path.map((k) => letters[k]).join(" ")), bold("its log joint", logarithm(best)),
        bold("its share of all paths", percent(exp(best - evidence)))]
        : [h("span", {}, "These words are impossible under this story.")]));
      if (paths.open) {
        const every = allPaths(at.now, b), total = logsumexp(every.map((each) => each.score));
        list.replaceChildren(h("table", {}, h("tbody", {}, h("tr", {}, ["path", "p(x, z)", "p(z | x)"].map((name) =>
          h("th", { scope: "col" }, name))), every.slice(0, 5).map(({ states: z, score }) => h("tr", {},
          h("td", {}, z.map((k) => letters[k]).join(" ")), h("td", {}, p(score)),
          h("td", {}, path ? percent(exp(score - total)) : "–"))))),
          h("div", {}, `The five most probable of ${every.length.toLocaleString("en")}. `,
            bold("Summed over all of them, log p(x) =", logarithm(total)), "; ",
            bold("the forward algorithm says", logarithm(evidence))));
      }
      explain();
      if (!timer) at.say(facts.textContent);
    }
    // Lines join the circles, wherever the browser has put them.
    function place() {
      const origin = grid.getBoundingClientRect();
      const spot = nodes.map((each) => each.map((node) => {
        const box = node.getBoundingClientRect();
        return [box.left + box.width / 2 - origin.left, box.top + box.height / 2 - origin.top];
      }));
      edges.forEach((column, t) => column.forEach((from, i) => from.forEach((line, j) => {
        const [x1, y1] = spot[i][t], [x2, y2] = spot[j][t + 1];
        set(line, { x1, y1, x2, y2 });
      })));
    }
    new ResizeObserver(place).observe(grid);
    update();
  }

  // ------------------------------------------------- the signal: drag a mean, drag a spread

  function signal(root, { states, pi, A, means, scales, x }) {
    const K = states.length, T = x.length, seen = x.filter((v) => v !== null);
    const pad = 0.12 * (Math.max(...seen) - Math.min(...seen)) || 1;
    const low = Math.min(...seen) - pad, high = Math.max(...seen) + pad, span = high - low;
    const LEFT = 246, WIDE = 456, AXIS = 204, CURVE = 184, TOP = 26, TALL = 210;
    const across = (t) => LEFT + (WIDE * (t + 0.5)) / T, up = (v) => TOP + (TALL * (high - v)) / span;
    const least = span / 500; // a spread of zero has no density
    const at = begin(root, { means, scales }, (told) => [...told.means, ...told.scales].every(Number.isFinite) &&
      told.scales.every((s) => s > 0), update);
    const first = compute({ pi, A }, ofReadings({ means, scales, x }));
    const chart = h("svg", { class: "hmm-chart", viewBox: "0 0 710 300", role: "group",
      "aria-label": "The curve of each state on the left, readings over time on the right" });
    const rects = (y, height) => range(T).map((t) => h("rect", { x: across(t - 0.5), y, height, width: WIDE / T + 0.3 }));
    const strip = rects(4, 14), dots = x.map((v, t) => h("circle", { r: v === null ? 0 : 3.2, cx: across(t), cy: up(v ?? low) }));
    const bands = range(T).map(() => range(K).map((k) => h("rect", { width: WIDE / T + 0.3, fill: shade(k) })));
    const line = h("polyline", { fill: "none", stroke: "currentColor", "stroke-width": 1.5 });
    const curves = range(K).map((k) => h("path", { fill: shade(k), "fill-opacity": 0.6 }));
    const rough = span / 6, ten = 10 ** Math.floor(Math.log10(rough));
    const apart = ten * [1, 2, 5, 10].find((n) => n * ten >= rough);
    const ticks = range(9).map((n) => (Math.ceil(low / apart) + n) * apart).filter((v) => v < high);
    chart.append(...strip, line, ...dots, ...bands.flat(), ...curves,
      ...ticks.map((v) => h("text", { x: LEFT - 6, y: up(v) + 4, "text-anchor": "end" },
        String(Number(v.toPrecision(6))))),
      h("text", { x: AXIS, y: 16, "text-anchor": "end" }, "what each state emits"),
      h("text", { x: LEFT, y: 298 }, "smoothed probabilities, over time"));

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
      h("span", { class: "hmm-gap" }), at.buttons), h("div", { class: "hmm-scroll" }, chart), legend, facts, at.voice);

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
          set(band, { x: across(t - 0.5), y, height }); y += height;
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
    update();
  }

  // ------------------------------------------------- the meter: who explains the reading away?

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
    const gauges = names.map(() => h("td")), before = names.map(() => h("td")), table = h("div", { class: "hmm-scroll", tabindex: 0,
      role: "group", "aria-label": "All joint states" });
    root.replaceChildren(h("div", { class: "hmm-bar", role: "group", "aria-label": "Step" }, "Step", days,
      h("span", { class: "hmm-gap" }), at.buttons),
      h("div", { class: "hmm-bar" }, reading, h("span", {}, "meter ", reads)),
      h("div", { class: "hmm-bar" }, noise, h("span", {}, "noise ", noisy)),
      h("div", { class: "hmm-scroll" }, h("table", {}, h("caption", {}, "Go and look: set a switch"), h("tbody", {},
        h("tr", {}, ["appliance", "what you saw", "the meter alone", "with what you saw"].map((each) => h("th", { scope: "col" }, each))),
        names.map((name, m) => h("tr", {}, h("th", { scope: "row" }, h("span", { class: "hmm-s", style: `--c:${shade(m)}` }, name),
          ` ${levels[m].join(" / ")} W`), h("td", {}, h("span", { role: "group", "aria-label": name }, switches[m])), before[m], gauges[m]))))),
      table, facts, at.voice);
    const bar = (p, color) => [h("span", { class: "hmm-meter", "aria-hidden": "true" },
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
      table.replaceChildren(h("table", {}, h("caption", {}, "Every joint state"), h("tbody", {}, h("tr", {}, [...names, "watts",
        "probability", "if they were independent"].map((each) => h("th", { scope: "col" }, each))),
        told.states.map((z, i) => h("tr", {}, z.map((k, m) => h("td", {}, labels[m][k])), h("td", {}, String(told.watts[i])),
          h("td", {}, told.joint ? bar(told.joint[i], "var(--smoothed)") : "–"),
          h("td", {}, told.joint ? bar(told.apart[i], "var(--rule)") : "–"))))));
      facts.replaceChildren(bold("log p(x) =", logarithm(alone.evidence)), now.seen.every((k) => k < 0) ? ""
        : bold("probability of what you saw", short(exp(told.evidence - alone.evidence))),
        bold("the meter ties them together by", `${(told.bits ?? 0).toFixed(2)} bits`));
      at.say(names.map((name, m) => (told.joint ? `${name} ${short(busy(told.singles, m))}` : "impossible")).join(", "));
    }
    update();
  }

  // ------------------------------------------------- starting

  const KINDS = { trellis, signal, meter };
  const alive = new Map();
  const repaint = () => alive.forEach((palette, root) => (root.isConnected ? paint(root, palette) : alive.delete(root)));
  function start() {
    if (!document.getElementById("hmm-style")) document.head.append(h("style", { id: "hmm-style" }, STYLE));
    for (const root of document.querySelectorAll(".hmm-explore:not([data-ready])")) {
      const model = JSON.parse(root.dataset.model);
      set(root, { "data-ready": true, "data-lm-suppress-shortcuts": "true" }); // JupyterLab leaves us the keys
      paint(root, model.palette);
      alive.set(root, model.palette);
      KINDS[root.dataset.kind](root, model);
      if (location.hash.slice(1).split(";")[0] === root.id) root.scrollIntoView({ block: "center" });
    }
  }
  window.hmmExplore = { start, compute, allPaths, ofSymbols, ofReadings, attribute, normalise, pack, unpack, probability };
  for (const node of [document.documentElement, document.body || document.documentElement])
    new MutationObserver(repaint).observe(node, { attributes: true, attributeFilter: ["data-theme", "class", "data-jp-theme-light", "theme"] });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", repaint);
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();
})();
