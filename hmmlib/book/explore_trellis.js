// The trellis: messages, posterior and best path of a story that one edits.
(function () {
  "use strict";
  const { log, exp, range, normalise, isRow, h, set, button, bold,
    probability, logarithm, percent, short, shade, initials, begin, logsumexp, compute, allPaths, ofSymbols } = window.hmmExplore;

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
  window.hmmExplore.kinds.trellis = trellis;
})();
