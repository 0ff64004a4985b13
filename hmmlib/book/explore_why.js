// Why a posterior is what it is: four terms that add up to its log-odds.
(function () {
  "use strict";
  const { log, exp, NO, range, h, short, forward, logsumexp } = window.hmmExplore;

  // State k on day t against all other states together. `told` holds, for the chain alone, with the
  // words before, with the day's word and with all words: the log-odds, the probability, and what
  // the log-odds have gained. A gain is null where the odds were infinite already.
  function splitOdds(model, b, { alpha, beta }, t, k) {
    const enter = (m) => (t === 0 ? model.pi.map(log)
      : model.pi.map((_, j) => logsumexp(m[t - 1].map((a, i) => a + log(model.A[i][j])))));
    const silent = forward(model, b.map((row) => row.map(() => 0)), logsumexp);
    let before = 0;
    return [enter(silent), enter(alpha), alpha[t], alpha[t].map((a, j) => a + beta[t][j])].map((row) => {
      const odds = row[k] - logsumexp(row.filter((_, j) => j !== k));
      const gain = Number.isFinite(before) ? odds - before : null;
      before = odds;
      return { odds, gain, p: exp(row[k] - logsumexp(row)) };
    });
  }

  // Thousandths, differences of rounded sums: what is shown adds up.
  function thousandths(told) {
    const sums = told.map(({ odds }) => Math.round(1000 * odds));
    return told.map(({ odds, gain }, n) => (gain === null ? null : Number.isFinite(odds) ? sums[n] - (sums[n - 1] ?? 0) : odds));
  }
  const signed = (v) => (v === null ? "–" : (v > 0 ? "+" : v < 0 ? "−" : "")
    + (Number.isFinite(v) ? (Math.abs(v) / 1000).toFixed(3) : "∞"));

  const span = (from, to) => (from === to ? `day ${from}` : `days ${from} to ${to}`);

  // The table and the sentences. x[t] is a word's number, -1 where nothing was heard.
  function why({ states, word, x }, told, t, k) {
    const T = x.length, name = states[k], gains = thousandths(told), last = told[3];
    const others = states.length === 2 ? states[1 - k] : "all other states together";
    const heard = (days) => days.some((u) => x[u] >= 0);
    const parts = [["prior", "the chain alone, without any word", "The chain alone", ""],
      ["past", t ? `the words of ${span(1, t)}` : "no day before", "The past", t === 0 ? "Day 1 has no past"
        : heard(range(t)) ? "" : "Nothing was heard before this day"],
      ["present", `the word of day ${t + 1}: ${word(x[t])}`, `The present, “${word(x[t])}”,`, x[t] < 0 ? "Nothing was heard on this day" : ""],
      ["future", t < T - 1 ? `the words of ${span(t + 2, T)}` : "no day after", "The future", t === T - 1 ? `Day ${T} has no future`
        : heard(range(T).slice(t + 1)) ? "" : "Nothing was heard after this day"]];
    const sentence = (n) => {
      const v = gains[n], [, , who, none] = parts[n];
      if (none) return `${none}: ${v === null ? "–" : "0"}.`;
      return v === null ? `${who} can no longer change that.` : v === 0 ? `${who} says next to nothing: 0.000.`
        : `${who} ${v === NO ? `rules ${name} out` : v === Infinity ? `rules everything but ${name} out`
          : `speaks ${v > 0 ? "for" : "against"} ${name}`}: ${signed(v)}.`;
    };
    const whole = Number.isFinite(last.odds) ? Math.round(1000 * last.odds) : last.odds;
    const size = Math.max(500, ...[...gains, whole].filter(Number.isFinite).map(Math.abs));
    const bar = (v, color) => h("span", { class: "hmm-lean", "aria-hidden": "true" }, h("i", { style:
      `--w:${(50 * Math.min(1, Math.abs(v ?? 0) / size)).toFixed(2)}%;background:var(--${color})`, class: v < 0 ? "hmm-against" : null }));
    const row = (what, title, v, color, p) => h("tr", { title }, h("th", { scope: "row" }, what), h("td", {}, bar(v, color)),
      h("td", {}, signed(v)), h("td", {}, p));
    const colors = ["ink", "forward", "ink", "backward"];
    return [h("table", { class: "hmm-why", title: `A term is the log of how much more probable its words are if the state is ${name} `
        + "than if it is not, given the terms above it. With two states these are the ratios of the messages." },
      h("caption", {}, `Log-odds of ${name} against ${others}: log\u00a0P(${name}\u00a0|\u00a0x) − log\u00a0P(${states.length === 2 ? others : `not ${name}`}\u00a0|\u00a0x)`),
      h("tbody", {}, h("tr", {}, ["", "against ← → for", "nats", "P so far"].map((each) => h("th", { scope: "col" }, each))),
        parts.map(([what, title], n) => row(what, title, gains[n], colors[n], short(told[n].p))),
        row("sum", "the log-odds of the posterior probability", whole, "smoothed", short(last.p)))),
      h("p", {}, range(4).map((n) => `${sentence(n)} `),
        `Together: ${signed(whole)} nats, so P(${name}\u00a0|\u00a0x) = ${short(last.p)}.`)];
  }

  Object.assign(window.hmmExplore, { splitOdds, why });
})();
