// The recursions in logs: K states, T steps. What trellis, signal and meter compute with.
(function () {
  "use strict";
  const { log, exp, NO, range, sum, max } = window.hmmExplore;

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

  Object.assign(window.hmmExplore, { logsumexp, forward, compute, allPaths, ofSymbols, density, ofReadings, joined });
})();
