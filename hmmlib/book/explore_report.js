// A story, its words and a question, with each step of the calculation written out.
(function () {
  "use strict";
  const { range, sum, exp, log, h, probability, logarithm, percent, splitOdds, why } = window.hmmExplore;
  const LONGEST = 40;
  const ABOUT = {
    forward: ["How probable are these words?", "α"],
    backward: ["How probable are the words after each day, given its state?", "β"],
    smoothing: ["How probable is each state of each day, given all the words?", "α", "β", "γ"],
    viterbi: ["Which single path explains the words best?", "δ"],
  };
  const MEANS = {
    α: "αₜ(k) is the joint probability of the words up to day t and of state k on day t.",
    β: "βₜ(k) is the probability of the words after day t, given state k on day t.",
    γ: "γₜ(k) is the probability of state k on day t, given all the words: multiply both messages, divide by the sum of these products.",
    δ: "δₜ(k) is the joint probability of the words up to day t and of the best path that ends in state k.",
  };
  const fine = (v) => probability(v, -2);

  // `line(name, t, k)` writes one number with its arithmetic; `q(name, t, k)` only its name.
  function report({ story, now, answer, b, line, q, between, number, print }) {
    const { states, symbols, letters, word } = story, T = now.x.length, all = range(states.length);
    const [question, ...names] = ABOUT[now.question], { evidence, path, best } = answer;
    if (T > LONGEST)
      return [h("p", {}, `${T} days are too many to write out; the limit is ${LONGEST}. Point at a circle to see its own arithmetic.`)];
    const table = (caption, head, rows) => h("table", {}, h("caption", {}, caption), h("tbody", {},
      h("tr", {}, head.map((each) => h("th", { scope: "col" }, each))),
      rows.map(([first, ...rest]) => h("tr", {}, h("th", { scope: "row" }, first), rest.map((each) => h("td", {}, each))))));
    const digits = (p) => String(Number(p.toPrecision(6)));
    const day = (t) => [h("b", {}, `day ${t + 1}`), ", ", h("i", {}, now.x[t] < 0 ? "nothing heard" : word(now.x[t])), ": "];
    const days = (name) => (name === "β" ? range(T).reverse() : range(T));
    const written = (name) => [h("h5", {}, name), h("p", {}, MEANS[name]), name === "γ" && !path ? impossible() : h("ul", {},
      days(name).map((t) => h("li", {}, day(t), all.map((k) => h("div", {}, line(name, t, k))))))];
    const impossible = () => h("p", {}, "p(x) = 0: these words are impossible under this story, so no state or path can be given a probability.");
    const adds = (terms, values) => h("p", {}, "p(x) = ", between(terms, " + "), " = ", values.map(fine).join(" + "), " = ",
      h("b", {}, fine(evidence)), ", and log p(x) = ", h("b", {}, logarithm(evidence)), ".");
    const ends = {
      forward: () => adds(all.map((k) => q("α", T - 1, k)), answer.alpha[T - 1]),
      backward: () => adds(all.map((k) => [h("i", {}, "π"), h("sub", {}, letters[k]), " · P(first word | ", letters[k], ") · ", q("β", 0, k)]),
        all.map((k) => log(now.pi[k]) + b[0][k] + answer.beta[0][k])),
      smoothing: () => [adds(all.map((k) => [q("α", now.day, k), " · ", q("β", now.day, k)]),
        all.map((k) => answer.alpha[now.day][k] + answer.beta[now.day][k])),
      h("p", {}, `The sum is the same on every day; this is day ${now.day + 1}.`),
      ...(path ? [h("h5", {}, `Why this probability of ${states[now.state]} on day ${now.day + 1}?`),
        ...why({ ...story, x: now.x }, splitOdds(now, b, answer, now.day, now.state), now.day, now.state)] : [])],
      viterbi: () => (path ? [h("h5", {}, "The path, from the last day to the first"), h("ul", {}, range(T).reverse().map((t) => {
        const next = path[t + 1], last = t === T - 1;
        return h("li", {}, day(t), "the largest of ", between(all.map((k) => [q("δ", t, k), last ? "" : [" · ", h("i", {}, "A"),
          h("sub", {}, letters[k], " ", letters[next])], " = ", fine(answer.delta[t][k] + (last ? 0 : log(now.A[k][next])))]), ", "),
          " is that of ", h("b", {}, letters[path[t]]), ".");
      })), h("p", {}, "The best path is ", h("b", {}, path.map((k) => letters[k]).join(" ")), ", with p(x, z) = ", h("b", {}, fine(best)),
        ", log p(x, z) = ", h("b", {}, logarithm(best)), "; its posterior probability is ", h("b", {}, percent(exp(best - evidence))), ".")]
        : impossible()),
    };
    const main = names[names.length - 1];
    return [h("h4", { tabindex: -1 }, question, " Every step, written out"), print,
      h("div", { class: "hmm-scroll" }, table("π, the first day", ["", ...states], [["day 1", ...now.pi.map(digits)]]),
      table("A, from (row) to (column)", ["", ...states], all.map((i) => [states[i], ...now.A[i].map(digits)])),
      table("B, what is seen", ["", ...symbols], all.map((i) => [states[i], ...now.B[i].map(digits)]))),
      h("p", {}, "States: ", states.map((name, k) => `${letters[k]} ${name}`).join(", "), ". Where nothing was heard, the factor of the word is 1. ",
        "The steps are computed in full precision and shown rounded."),
      ...names.flatMap(written), ...[ends[now.question]()].flat(),
      h("div", { class: "hmm-scroll" }, table("All numbers", ["day", "word", ...letters.map((each) => `${main}(${each})`), ...(now.question === "viterbi" ? ["path"] : [])],
        range(T).map((t) => [String(t + 1), word(now.x[t]), ...all.map((k) => number(main, t, k)),
          ...(now.question === "viterbi" ? [path ? letters[path[t]] : "–"] : [])])))];
  }
  window.hmmExplore.report = report;
})();
