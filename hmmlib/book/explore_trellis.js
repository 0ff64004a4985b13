// The trellis: messages, posterior and best path of a story that one edits.
(function () {
  "use strict";
  const { log, exp, range, max, normalise, isRow, h, set, button, bold, probability, logarithm, percent, short, shade,
    initials, begin, logsumexp, compute, allPaths, ofSymbols, splitOdds, why, report } = window.hmmExplore;

  const QUESTIONS = {
    forward: { name: "Forward", symbol: "α", numbers: "alpha", color: "forward" },
    backward: { name: "Backward", symbol: "β", numbers: "beta", color: "backward" },
    smoothing: { name: "Smoothing", symbol: "γ", color: "smoothed" },
    viterbi: { name: "Viterbi", symbol: "δ", numbers: "delta", color: "best" },
  };
  const BY = Object.fromEntries(Object.values(QUESTIONS).map((each) => [each.symbol, each]));
  const MOST_PATHS = 20000;
  const COLUMN = 37, PITCH = 72, PAPER = 530; // pixels: a day, a state (its circle has half of it), a sheet of paper
  const WEEK = 7, MOST_ROWS = 6; // days; rows of days

  function trellis(root, { states, symbols, pi, A, B, x, question }) {
    const K = states.length, T = x.length, all = range(K), letters = initials(states);
    let answer, b, hover = null, timer = null, paper = false;
    const index = (v, size) => Number.isInteger(v) && v >= 0 && v < size;
    const END = 2 * T + 2; // as many steps as any question has; `update` takes what is too much
    const at = begin(root, { pi, A, B, x, question, step: END, day: T > 3 ? 3 : 0, state: 0, why: Number(question === "smoothing"),
      report: 0 }, (told) => isRow(told.pi) && told.A.every(isRow) && told.B.every(isRow) &&
        Object.hasOwn(QUESTIONS, told.question) && index(told.step, END + 1) && index(told.day, T) && index(told.state, K) &&
        index(told.why, 2) && index(told.report, 2) && told.x.every((v) => index(v + 1, symbols.length + 1)), update);
    const asked = () => QUESTIONS[at.now.question], smoothing = () => at.now.question === "smoothing";
    const meeting = () => Math.max(at.now.day + 1, T - at.now.day); // steps until both messages are at the chosen day
    const steps = () => ({ viterbi: 2 * T, smoothing: meeting() + 2 }[at.now.question] ?? T);
    const onwards = () => ["forward", "viterbi"].includes(at.now.question);
    const travels = () => smoothing() && at.now.step <= meeting(); // are the messages still on their way?
    // The symbols whose numbers are on the page for day t.
    function known(t) {
      const { step, day } = at.now, left = t < step, right = t >= T - step;
      if (!smoothing()) return (onwards() ? left : right) ? asked().symbol : "";
      if (step === steps() || (t === day && !travels())) return "γ";
      return (left && t <= day ? "α" : "") + (right && t >= day ? "β" : "");
    }
    const onPath = (t, k) => at.now.question === "viterbi" && answer.path !== null &&
      answer.path[t] === k && 2 * T - t <= at.now.step;
    const word = (v) => (v < 0 ? "?" : symbols[v]);

    // The arithmetic of a number, in the symbols of the equations.
    const s = (k) => h("span", { class: "hmm-s", style: `--c:${shade(k)}` }, letters[k]);
    const q = (name, t, k) => h("span", { class: "hmm-q", style: `--q:var(--${BY[name].color})` },
      name, h("sub", {}, String(t + 1)), "(", s(k), ")");
    const entry = (name, ...of) => [h("i", {}, name), h("sub", {}, of.map((each, n) => [
      n ? " " : "", typeof each === "number" ? s(each) : each]))];
    const emits = (t, k) => (at.now.x[t] < 0 ? "1" : entry("B", k, word(at.now.x[t])));
    const between = (list, glue) => list.flatMap((each, n) => (n ? [glue, each] : [each]));
    const value = (name, t, k) => (name === "γ" ? log(answer.gamma[t][k]) : answer[BY[name].numbers][t][k]);
    const number = (name, t, k, few = 0) => (name === "γ" ? answer.gamma ? short(answer.gamma[t][k]) : "–"
      : probability(value(name, t, k), few));

    // One number: its name, the symbols (not if `brief`), the numbers, the result.
    function arithmetic(name, t, k, brief) {
      const { now } = at, p = (v) => probability(v, brief ? -2 : 0);
      const equation = (symbols, numbers, more) => [q(name, t, k), " = ", brief ? [] : [symbols, " = "], numbers, " = ",
        h("b", {}, name === "γ" && !brief ? number(name, t, k) : p(value(name, t, k))), more];
      if (name === "γ")
        return answer.gamma === null ? ["These words are impossible: p(x) = 0, and nothing can be said."]
          : equation([q("α", t, k), " · ", q("β", t, k), " / p(x)"],
            `${p(answer.alpha[t][k])} · ${p(answer.beta[t][k])} / ${p(answer.evidence)}`);
      if (name === "β")
        return t === T - 1 ? [q("β", t, k), " = ", h("b", {}, "1"), ": nothing follows the last day"]
          : equation(between(all.map((j) => [entry("A", k, j), " · ", emits(t + 1, j), " · ", q("β", t + 1, j)]), " + "),
            between(all.map((j) => `${p(log(now.A[k][j]))} · ${p(b[t + 1][j])} · ${p(answer.beta[t + 1][j])}`), " + "));
      if (t === 0)
        return equation([h("i", {}, "π"), h("sub", {}, s(k)), " · ", emits(t, k)], `${p(log(now.pi[k]))} · ${p(b[t][k])}`);
      const best = name === "δ", glue = best ? ", " : " + ", open = best ? "max( " : "( ";
      const came = all.map((i) => value(name, t - 1, i) + log(now.A[i][k]));
      return equation([open, between(all.map((i) => [q(name, t - 1, i), " · ", entry("A", i, k)]), glue), " ) · ", emits(t, k)],
        [open, between(all.map((i) => `${p(value(name, t - 1, i))} · ${p(log(now.A[i][k]))}`), glue), ` ) · ${p(b[t][k])}`],
        best && brief && value(name, t, k) > -Infinity ? [", from ", s(came.indexOf(max(came)))] : []);
    }

    // What happens on this step while messages travel, and when they have met.
    function journey() {
      const { step, day, state } = at.now, here = `day ${day + 1}`;
      const first = `Step ${step} of ${steps()}. `;
      if (step === 0) return [`${first}Nothing is computed yet. Forward messages will come from day 1, backward messages from day ${T}; they meet on ${here}.`];
      if (!travels()) {
        const product = (j) => answer.alpha[day][j] + answer.beta[day][j];
        return [`${first}On ${here} the messages have met. For each state, multiply both; then divide by the sum of the products.`,
          arithmetic("γ", day, state), ["p(x) = ", between(all.map((j) => [q("α", day, j), " · ", q("β", day, j)]), " + "), " = ",
            between(all.map((j) => probability(product(j))), " + "), " = ", h("b", {}, probability(answer.evidence))]];
      }
      const arrived = (name) => [q(name, day, state), " = ", h("b", {}, number(name, day, state)), ` has reached ${here}`];
      return [step < meeting() ? `${first}Forward messages come from the left, backward messages from the right; they meet on ${here}.`
        : `${first}Both messages are on ${here}. Next they are multiplied.`,
        step <= day + 1 ? arithmetic("α", step - 1, state) : arrived("α"),
        step <= T - day ? arithmetic("β", T - step, state) : arrived("β")];
    }

    // Building, once.
    const go = (step) => {
      step = Math.min(steps(), Math.max(0, step));
      const t = onwards() ? Math.min(step, 2 * T - step) : T - step;
      hover = null;
      at.change({ step, day: smoothing() ? at.now.day : Math.min(T - 1, Math.max(0, onwards() && step <= T ? t - 1 : t)) });
    };
    const halt = () => { clearInterval(timer); timer = null; play.textContent = "Play"; };
    const begun = (ask) => { halt(); at.change({ question: ask, step: END }); };
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
    const grid = h("div", { class: "hmm-grid", role: "group", "aria-label":
      "Trellis: a column for each day, a circle for each state. Arrow keys move between circles.",
      onkeydown: keys, onpointerleave: () => { hover = null; explain(); } });
    const rows = []; // of the grid: label, state, a cell for each day
    const row = (text, k, cells) => { rows.push([text, k, cells]); return cells; };
    const heads = row("day", null, range(T).map((t) => h("span", { class: "hmm-under" }, String(t + 1))));
    const nodes = [], under = [];
    for (const k of all) {
      nodes.push(row(states[k], k, range(T).map((t) => button(letters[k], () => select(t, k), { class: "hmm-node",
        style: `--c:${shade(k)};--on:var(--on${k})`, onfocus: () => select(t, k),
        onpointerenter: () => { hover = [t, k]; explain(); } }))));
      under.push(row("", null, range(T).map(() => h("span", { class: "hmm-under hmm-number" }))));
    }
    const words = row("observed", null, range(T).map((t) => button("", () => at.change({ x: at.now.x.map(
      (v, u) => (u !== t ? v : v + 1 < symbols.length ? v + 1 : -1)) }), { class: "hmm-word" })));
    const stacks = row("posterior", null, range(T).map(() => h("span", { class: "hmm-stack", role: "img" })));
    let edges = [], wrapped = 0;

    // Days in rows of at most `most`; between rows, edges leave on the right and come in on the left.
    function arrange(most) {
      const many = Math.ceil(T / most);
      const per = many === 1 ? T : most > WEEK ? most - (most % WEEK) : Math.ceil(T / many);
      if (per === wrapped) return;
      wrapped = per;
      const focused = grid.contains(document.activeElement) ? document.activeElement : null;
      edges = range(T - 1).map(() => all.map(() => all.map(() => [])));
      grid.style.gridTemplateColumns = `auto repeat(${per},minmax(${COLUMN}px,1fr))`;
      grid.replaceChildren(...range(Math.ceil(T / per)).flatMap((block) => {
        const start = block * per, end = Math.min(T, start + per), first = block * rows.length + 1;
        const lines = h("svg", { "aria-hidden": "true", viewBox: `0 0 ${per} ${K * PITCH}`, preserveAspectRatio: "none",
          style: `grid-area:${first + 1}/2/${first + 1 + 2 * K}/${per + 2}` });
        range(T - 1).filter((t) => t + 1 >= start && t < end).forEach((t) => all.forEach((i) => all.forEach((j) => {
          const line = h("line", { x1: t - start + 0.5, x2: t - start + 1.5, y1: i * PITCH + PITCH / 4, y2: j * PITCH + PITCH / 4 });
          edges[t][i][j].push(line);
          lines.append(line);
        })));
        return [lines, ...rows.flatMap(([text, k, cells], n) => {
          const label = h("span", { title: text, class: k === null ? "hmm-label" : "hmm-label hmm-s", style: k === null ? null : `--c:${shade(k)}` }, text);
          const line = [label, ...cells.slice(start, end)];
          line.forEach((cell, column) => { cell.style.gridArea = `${first + n}/${column + 1}`; });
          return line;
        })];
      }));
      if (focused) focused.focus({ preventScroll: true });
      if (answer) explain();
    }
    const fit = () => {
      const label = 6 + max([...grid.querySelectorAll(".hmm-label")].map((each) => each.offsetWidth));
      const room = paper ? PAPER : grid.parentNode.clientWidth, most = Math.max(1, Math.floor((room - label) / COLUMN));
      if (room) arrange(!paper && Math.ceil(T / most) > MOST_ROWS ? T : Math.min(T, most)); // longer ones scroll
    };

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
    const asking = h("summary"), because = h("div");
    const reasons = h("details", { ontoggle: () => { at.now.why = Number(reasons.open); } }, asking, because);
    const written = h("div", { class: "hmm-report", role: "region", "aria-label": "Every step", id: `${root.id}-report` });
    const write = button("Write it out", () => {
      at.change({ report: 1 - at.now.report });
      written.querySelector("h4")?.focus();
    }, { "aria-controls": written.id });
    // Alone on paper: whatever neither holds the report nor stands in it is hidden.
    const print = button("Print this report", () => {
      const marks = [[document.documentElement, "hmm-alone"], [written, "hmm-this"]];
      marks.forEach(([node, name]) => node.classList.add(name));
      addEventListener("afterprint", () => marks.forEach(([node, name]) => node.classList.remove(name)), { once: true });
      window.print();
    });
    root.replaceChildren(h("div", { class: "hmm-bar", role: "group", "aria-label": "Algorithm" }, asks,
      h("span", { class: "hmm-gap" }), back, on, play, at.buttons), h("div", { class: "hmm-scroll" }, grid),
      say, facts, at.voice, reasons, editor, ...(K ** T <= MOST_PATHS ? [paths] : []), write, written);

    function select(t, k) {
      const last = at.now.step >= steps(), same = t === at.now.day;
      hover = null;
      Object.assign(at.now, { day: t, state: k });
      if (last) at.now.step = steps();
      if (smoothing() && !same && !last) update();
      else { explain(); writeOut(); }
    }
    function keys(event) {
      const move = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] }[event.key];
      if (!move || !event.target.classList.contains("hmm-node")) return;
      event.preventDefault(); event.stopPropagation();
      const t = Math.min(T - 1, Math.max(0, at.now.day + move[0]));
      nodes[Math.min(K - 1, Math.max(0, at.now.state + move[1]))][t].focus();
    }

    function explain() {
      const { now } = at, [t, k] = hover ?? [now.day, now.state], names = known(t);
      const moving = smoothing() && now.step < steps() && !hover;
      say.style.setProperty("--q", `var(--${asked().color})`);
      say.replaceChildren(...(moving ? journey() : [`Day ${t + 1}, ${states[k]}, ${now.x[t] < 0 ? "nothing heard" : word(now.x[t])}:`,
        ...(names ? Array.from(names, (name) => arithmetic(name, t, k)) : ["not computed yet"])]).map((each) => h("div", {}, each)));
      nodes.forEach((each, i) => each.forEach((node, u) => {
        const chosen = u === now.day && i === now.state;
        node.tabIndex = chosen ? 0 : -1;
        node.classList.toggle("chosen", chosen);
      }));
      heads.forEach((head, u) => head.classList.toggle("chosen", u === now.day));
      const lit = (u, i, j) => {
        if (moving && travels()) return now.step <= now.day + 1 && u === now.step - 2 ? "forward"
          : now.step <= T - now.day && u === T - now.step ? "backward" : null;
        if (u + 1 === t && j === k && /α|δ/.test(names)) return BY[names[0]].color;
        return u === t && i === k && names.includes("β") ? "backward" : null;
      };
      edges.forEach((column, u) => column.forEach((from, i) => from.forEach((lines, j) => {
        const chosen = onPath(u, i) && onPath(u + 1, j), color = lit(u, i, j);
        lines.forEach((line) => set(line, { stroke: chosen ? "var(--best)" : color ? `var(--${color})` : "currentColor",
          "stroke-width": chosen ? 5 : color ? 2.5 : 1,
          "stroke-opacity": chosen || color ? 1 : now.A[i][j] > 0 ? 0.3 : 0 }));
      })));
      asking.textContent = `Why this probability of ${states[k]} on day ${t + 1}?`;
      because.replaceChildren(...(answer.gamma ? why({ states, word, x: now.x }, splitOdds(now, b, answer, t, k), t, k)
        : ["These words are impossible under this story: there is no posterior probability to split."]));
    }
    function writeOut() {
      set(write, { "aria-expanded": String(at.now.report === 1), "aria-pressed": String(at.now.report === 1) });
      written.hidden = !at.now.report;
      written.replaceChildren(...(at.now.report ? report({ story: { states, symbols, letters, word }, now: at.now, answer, b,
        line: (name, t, k) => arithmetic(name, t, k, true), q, between, number, print }) : []));
    }
    function update() {
      b = ofSymbols(at.now);
      answer = compute(at.now, b);
      at.now.step = Math.min(at.now.step, steps());
      const { gamma, evidence, path, best } = answer;
      asks.forEach((each) => set(each, { "aria-pressed": String(each.dataset.ask === at.now.question) }));
      back.disabled = at.now.step <= 0; on.disabled = at.now.step >= steps();
      fills.forEach((fill) => fill());
      words.forEach((each, t) => {
        each.textContent = word(at.now.x[t]);
        set(each, { "aria-label": `Day ${t + 1}: ${at.now.x[t] < 0 ? "nothing heard" : word(at.now.x[t])}; press for the next` });
      });
      for (const k of all) for (const t of range(T)) {
        const node = nodes[k][t], names = known(t), passing = smoothing() && names !== "γ";
        node.classList.toggle("off", !names);
        node.classList.toggle("on-path", onPath(t, k));
        under[k][t].style.color = passing && names.length === 1 ? `var(--${BY[names].color})` : "";
        under[k][t].textContent = names.length > 1 ? "α · β" : !names ? "·" : passing ? `${names}\n${number(names, t, k, 3)}`
          : number(names, t, k, 2).replace("·10", "\n·10");
        set(node, { "aria-label": `Day ${t + 1}, ${states[k]}: ${Array.from(names, (name) => `${name} = ${number(name, t, k)}`).join(", ")
          || "not computed yet"}${onPath(t, k) ? ", on the best path" : ""}` });
      }
      stacks.forEach((stack, t) => {
        const there = gamma && (!smoothing() || known(t) === "γ");
        const told = there ? gamma[t].map((g, k) => `${states[k]} ${short(g)}`).join(", ") : gamma ? "not computed yet" : "impossible";
        stack.replaceChildren(...(there ? gamma[t].map((g, k) =>
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
          h("td", { style: "word-spacing:-.2em" }, z.map((k) => letters[k]).join(" ")), h("td", {}, probability(score)),
          h("td", {}, path ? percent(exp(score - total)) : "–"))))),
          h("div", {}, `The five most probable of ${every.length.toLocaleString("en")}. `,
            bold("Summed over all of them, log p(x) =", logarithm(total)), "; ",
            bold("the forward algorithm says", logarithm(evidence))));
      }
      reasons.open = Boolean(at.now.why);
      explain();
      writeOut();
      if (!timer) at.say(smoothing() && at.now.step < steps() ? say.firstChild.textContent : facts.textContent);
    }
    arrange(T);
    fit();
    new ResizeObserver(fit).observe(grid.parentNode);
    for (const when of ["before", "after"])
      addEventListener(`${when}print`, () => { paper = when === "before"; fit(); });
    update();
  }
  window.hmmExplore.kinds.trellis = trellis;
})();
