// The split: several chains behind one meter, exactly, without one large matrix.
// A worker gets `numerics` as text, so that it uses nothing from outside.
(function () {
  "use strict";

  function numerics() {
    const NO = -Infinity, SMALL = 1e-150, TINY = 1e-15; // below, what underflows is summed in logs
    const FLOOR = 20, UNSEEN = 0.01, WATTS_OF_A_PLUG = 25000; // as in hmmlib.nilm
    const range = (n) => Array.from({ length: n }, (_, i) => i);
    const times = (values) => values.reduce((a, b) => a * b, 1);
    const ascending = (values) => Float64Array.from(values).sort();

    // ------------------------------------------------- the house, as hmmlib.nilm makes it

    // Off or on, from four numbers: nilm.described_appliance with a step of one minute.
    function described({ watts, minutes, runs, spread }) {
      const start = 1 / (1440 / runs - minutes), stop = 1 / minutes, on = start / (start + stop);
      return { pi: [1 - on, on], A: [[1 - start, start], [stop, 1 - stop]],
        levels: [0, watts], spreads: [FLOOR, Math.max(spread, FLOOR)] };
    }

    // A few readings far above all others are missing: without_faults.
    function withoutFaults(x) {
      const high = x.filter((v) => v > WATTS_OF_A_PLUG), others = x.filter((v) => v <= WATTS_OF_A_PLUG);
      const few = high.length <= Math.max(3, (high.length + others.length) / 1000);
      const above = high.reduce((a, b) => Math.min(a, b), Infinity) > 4 * others.reduce((a, b) => Math.max(a, b), NO);
      return high.length && others.length && few && above ? x.map((v) => (v > WATTS_OF_A_PLUG ? NaN : v)) : x;
    }

    // The rest: levels of the readings too low for an appliance to be on, cut by rank.
    function restOf(readings, lowest, size) {
      const x = withoutFaults(readings), seen = ascending(x.filter((v) => !Number.isNaN(v))), n = seen.length;
      const middle = (seen[(n - 1) >> 1] + seen[n >> 1]) / 2, bound = middle + lowest / 2;
      const low = x.map((v) => (v < bound ? v : NaN)), values = ascending(low.filter((v) => !Number.isNaN(v)));
      if (new Set(values).size < size) return null;
      const levels = centres(values, size), states = Array.from(low, (v) => (Number.isNaN(v) ? -1 : nearest(levels, v)));
      const squares = levels.map(() => 0), counts = levels.map(() => 0), moves = levels.map(() => levels.map(() => UNSEEN));
      states.forEach((k, t) => {
        if (k < 0) return;
        squares[k] += (low[t] - levels[k]) ** 2; counts[k] += 1;
        if (t && states[t - 1] >= 0) moves[states[t - 1]][k] += 1;
      });
      return { pi: counts.map((c) => c / values.length), levels,
        A: moves.map((row) => row.map((c) => c / row.reduce((a, b) => a + b))),
        spreads: squares.map((s, k) => Math.max(Math.sqrt(s / counts[k]), FLOOR)) };
    }
    function nearest(levels, v) {
      let k = 0;
      while (k < levels.length - 1 && v > (levels[k] + levels[k + 1]) / 2) k += 1;
      return k;
    }
    // From equal parts of the sorted values to medians of what is closest to each.
    function centres(values, size) {
      let now = range(size).map((k) => values[Math.floor(((2 * k + 1) * values.length) / (2 * size))]);
      for (;;) {
        const members = now.map(() => []), before = now;
        let far = values[0], distance = -1;
        for (const v of values) {
          const k = nearest(before, v), away = Math.abs(v - before[k]);
          members[k].push(v);
          if (away > distance) { far = v; distance = away; }
        }
        now = members.map((each) => (each.length ? each[(each.length - 1) >> 1] : far)).sort((a, b) => a - b);
        if (now.every((v, k) => v === before[k])) return now;
      }
    }

    // ------------------------------------------------- joint states, the last chain fastest

    function joint(chains) {
      const sizes = chains.map(({ pi }) => pi.length), S = times(sizes), M = sizes.length;
      const strides = sizes.map((_, m) => times(sizes.slice(m + 1)));
      const of = sizes.map((K, m) => Uint8Array.from(range(S), (s) => Math.floor(s / strides[m]) % K));
      const table = (value) => Float64Array.from(range(S), value);
      const total = (f) => table((s) => chains.reduce((sum, chain, m) => sum + f(chain, of[m][s]), 0));
      const mean = total(({ levels }, k) => levels[k]), variance = total(({ spreads }, k) => spreads[k] ** 2);
      const own = chains.map(({ spreads }, m) => table((s) => spreads[of[m][s]] ** 2));
      const axes = axesOf(chains), entries = axes.flatMap(({ ahead }) => Array.from(ahead));
      return { sizes, axes, S, M, of, mean, own, room: new Float64Array(S), weights: new Float64Array(S),
        share: own.map((v) => table((s) => v[s] / variance[s])),
        apart: own.map((v) => table((s) => (v[s] * (variance[s] - v[s])) / variance[s])), // once the sum is known
        level: chains.map(({ levels }, m) => table((s) => levels[of[m][s]])),
        half: table((s) => 0.5 / variance[s]), constant: table((s) => -0.5 * Math.log(2 * Math.PI * variance[s])),
        start: table((s) => chains.reduce((sum, { pi }, m) => sum + Math.log(pi[of[m][s]]), 0)),
        tiny: entries.some((p) => p > 0 && p < TINY) };
    }
    // What moves at once: a chain, or two neighbours of two states each, which are one of four.
    // Tables have a row for each state that is reached, by a step ahead or back.
    function axesOf(chains) {
      const axes = [];
      for (let m = 0; m < chains.length; m++) {
        let { A } = chains[m];
        if (A.length === 2 && chains[m + 1]?.pi.length === 2) {
          const B = chains[++m].A;
          A = A.flatMap((one) => B.map((other) => one.flatMap((p) => other.map((q) => p * q))));
        }
        const K = A.length, gap = times(chains.slice(m + 1).map(({ pi }) => pi.length));
        axes.push({ K, gap, back: Float64Array.from(A.flat()), ahead: Float64Array.from(range(K * K), (n) => A[n % K][Math.floor(n / K)]) });
      }
      return axes;
    }

    // x(to) = sum over from of table(to, from) x(from), one axis after the other, in place.
    function push(x, way, { axes, S }) {
      for (const axis of axes)
        if (axis.K === 4) four(x, axis[way], axis.gap, S); else several(x, axis[way], axis.gap, S, axis.K);
    }
    function four(x, table, gap, S) {
      const a = table[0], b = table[1], c = table[2], d = table[3], e = table[4], f = table[5], g = table[6], h = table[7];
      const i = table[8], j = table[9], k = table[10], l = table[11], m = table[12], n = table[13], o = table[14], p = table[15];
      for (let first = 0; first < S; first += 4 * gap) for (let s = first; s < first + gap; s++) {
        const q = x[s], r = x[s + gap], t = x[s + 2 * gap], u = x[s + 3 * gap];
        x[s] = a * q + b * r + c * t + d * u;
        x[s + gap] = e * q + f * r + g * t + h * u;
        x[s + 2 * gap] = i * q + j * r + k * t + l * u;
        x[s + 3 * gap] = m * q + n * r + o * t + p * u;
      }
    }
    const from = new Float64Array(256);
    function several(x, table, gap, S, K) {
      for (let first = 0; first < S; first += K * gap) for (let s = first; s < first + gap; s++) {
        for (let k = 0; k < K; k++) from[k] = x[s + k * gap];
        for (let j = 0, n = 0; j < K; j++) {
          let sum = 0;
          for (let k = 0; k < K; k++, n++) sum += table[n] * from[k];
          x[s + j * gap] = sum;
        }
      }
    }
    // The same in logs, for what underflows. Each of `sums`, expectations given the state, is mixed.
    function pushLogs(x, way, { axes, S }, sums) {
      for (const { K, gap, [way]: table } of axes) {
        const logs = table.map(Math.log);
        for (let b = 0; b < S; b += K * gap) for (let s = b; s < b + gap; s++) {
          const at = range(K).map((k) => s + k * gap), from = at.map((i) => x[i]), before = sums.map((r) => at.map((i) => r[i]));
          at.forEach((i, j) => {
            const terms = from.map((v, k) => v + logs[j * K + k]), top = Math.max(...terms);
            const weights = terms.map((v) => (top === NO ? 0 : Math.exp(v - top))), all = weights.reduce((a, c) => a + c);
            x[i] = top === NO ? NO : top + Math.log(all);
            sums.forEach((r, n) => { r[i] = all ? before[n].reduce((a, v, k) => a + v * weights[k], 0) / all : 0; });
          });
        }
      }
    }
    // Log probabilities one step on or back, in place; their largest entry is subtracted and returned.
    function step(x, way, model, sums) {
      const { S, room, weights } = model;
      let top = NO, lost = model.tiny, few = false;
      for (let s = 0; s < S; s++) if (x[s] > top) top = x[s];
      if (top === NO) return NO;
      for (let s = 0; s < S; s++) {
        room[s] = Math.exp(x[s] -= top);
        if (room[s] < SMALL && x[s] > NO) lost = true;
      }
      weights.set(room);
      push(room, way, model);
      for (let s = 0; s < S; s++) if (room[s] < SMALL && (lost || room[s] > 0)) few = true;
      if (few) { pushLogs(x, way, model, sums); return top; }
      for (const sum of sums) {
        for (let s = 0; s < S; s++) sum[s] *= weights[s];
        push(sum, way, model);
      }
      for (let s = 0; s < S; s++) { x[s] = Math.log(room[s]); weights[s] = room[s] > 0 ? 1 / room[s] : 0; }
      for (const sum of sums) for (let s = 0; s < S; s++) sum[s] *= weights[s];
      return top;
    }
    // Adds log p(reading | state); a missing reading says nothing.
    function read(x, v, { S, mean, half, constant }) {
      if (!Number.isNaN(v)) for (let s = 0; s < S; s++) x[s] += constant[s] - half[s] * (v - mean[s]) ** 2;
    }

    // ------------------------------------------------- the split

    // Yields the share that is done, and returns, given all readings x (watts, NaN where missing):
    // evidence, log p(x); probs[m], T x K; watts[m], the expected watts of each step, which add up to
    // the reading; mean and variance of each chain's sum of watts, over all steps and over each day.
    // A day ends where `days` says so: ascending steps, the last one T.
    function* split(chains, x, days = [x.length]) {
      const model = joint(chains), { S, M, sizes } = model, T = x.length;
      const L = Math.max(1, Math.ceil(Math.sqrt(T)), Math.floor(4e6 / S)), N = Math.ceil(T / L), none = [];
      // Backward messages: of all steps of one block, and of the last step of each.
      const ends = range(N).map(() => new Float64Array(S));
      const block = range(Math.min(L, T)).map(() => new Float64Array(S));
      const message = new Float64Array(S), work = T * (N > 1 ? 3 : 2);
      let done = 0;
      for (let t = T - 1; t >= L; t--) {
        read(message, x[t], model);
        step(message, "back", model, none);
        if (t % L === 0) ends[t / L - 1].set(message);
        if (++done % 128 === 0) yield done / work;
      }
      const rows = () => range(M).map(() => new Float64Array(S)), sums = [...rows(), ...rows()]; // of all, of the day
      const probs = sizes.map((K) => new Float64Array(T * K)), watts = range(M).map(() => new Float64Array(T));
      const totals = () => ({ mean: new Float64Array(M), variance: new Float64Array(M) });
      const whole = totals(), daily = days.map(totals), alpha = model.start.slice(), gamma = new Float64Array(S);
      let evidence = 0, day = 0;
      for (let n = 0; n < N; n++) {
        const first = n * L, last = Math.min(T, first + L) - 1;
        block[last - first].set(ends[n]);
        for (let t = last; t > first; t--) {
          const beta = block[t - first - 1];
          beta.set(block[t - first]);
          read(beta, x[t], model);
          step(beta, "back", model, none);
          if (++done % 128 === 0) yield done / work;
        }
        for (let t = first; t <= last; t++) {
          if (t) evidence += step(alpha, "ahead", model, sums);
          read(alpha, x[t], model);
          posterior(alpha, block[t - first], gamma);
          while (t >= days[day]) { day += 1; for (let m = 0; m < M; m++) sums[M + m].fill(0); }
          for (let m = 0; m < M; m++) account(m, t, daily[day]);
          if (++done % 128 === 0) yield done / work;
        }
      }
      const top = alpha.reduce((a, b) => Math.max(a, b), NO);
      evidence += top + Math.log(alpha.reduce((sum, v) => sum + Math.exp(v - top), 0));
      return { evidence, probs, watts, ...whole, daily, sizes };

      function posterior(before, after, to) {
        let best = NO, sum = 0;
        for (let s = 0; s < S; s++) { to[s] = before[s] + after[s]; if (to[s] > best) best = to[s]; }
        if (!(best > NO)) throw new Error("the readings are impossible under this model");
        for (let s = 0; s < S; s++) sum += to[s] = Math.exp(to[s] - best);
        for (let s = 0; s < S; s++) to[s] /= sum;
      }
      // What chain m draws in step t: by the laws of total expectation and variance, about the mean,
      // so that nothing cancels. `sums` hold what it drew before, about the mean, given the state now.
      function account(m, t, today) {
        const level = model.level[m], share = model.share[m], known = !Number.isNaN(x[t]), apart = (known ? model.apart : model.own)[m];
        const here = sums[m], since = sums[M + m], p = probs[m], first = t * sizes[m], k = model.of[m], { room, mean } = model;
        let middle = 0, both = 0, all = 0, some = 0;
        for (let s = 0; s < S; s++) {
          p[first + k[s]] += gamma[s];
          room[s] = level[s] + (known ? share[s] * (x[t] - mean[s]) : 0);
          middle += gamma[s] * room[s];
        }
        for (let s = 0; s < S; s++) {
          const away = room[s] - middle, much = gamma[s] * away;
          both += much * away + gamma[s] * apart[s];
          all += much * here[s]; some += much * since[s];
          here[s] += away; since[s] += away;
        }
        watts[m][t] = middle;
        whole.mean[m] += middle; whole.variance[m] += both + 2 * all;
        today.mean[m] += middle; today.variance[m] += both + 2 * some;
      }
    }

    // The answer of split at once, for tests and small models.
    function atOnce(steps) {
      for (;;) { const { value, done } = steps.next(); if (done) return value; }
    }
    return { described, restOf, split, atOnce };
  }

  window.hmmExplore.numerics = numerics;
  Object.assign(window.hmmExplore, numerics());
})();
