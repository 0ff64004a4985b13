// A meter's file: text to one reading a minute, or an error that names the line and what was found.
// A worker gets `reader` as text, so that it uses nothing from outside.
(function () {
  "use strict";

  function reader() {
    const MINUTE = 60000, HOLD = 3, LONG_HOLD = 60, LEAST = 0.5 - 1e-9; // minutes, and a share of one
    const MOST_MINUTES = 31 * 1440, HIGHEST = 100000, LOWEST = 100; // watts of a house, at its largest
    const MISSING = /^(|na|nan|n\/a|null|none|unavailable|unknown|-|\?)$/i;
    const ENERGY = /(?<![a-z])k?wh(?![a-z])/i, KILO = /(?<![a-z])kw(?![a-z])/i, WATTS = /(?<![a-z])w(?![a-z])|watt/i;
    const POWER = /pow|watt|(?<![a-z])k?w(?![a-z])|mains|aggregate|leistung|puissance|state|value|load/i;
    const OTHER = /volt|amp|curr|freq|temp|hum|cost|price|(?<![a-z])id(?![a-z])|factor/i;
    const CLOCK = "(?:[T ,]+(\\d\\d?):(\\d\\d)(?::(\\d\\d(?:\\.\\d+)?))?\\s*([AaPp][Mm])?\\s*(Z|[+-]\\d\\d?(?::?\\d\\d)?)?)?$";
    const YEAR_FIRST = new RegExp("^(\\d{4})[-/.](\\d\\d?)[-/.](\\d\\d?)" + CLOCK);
    const YEAR_LAST = new RegExp("^(\\d\\d?)([./-])(\\d\\d?)\\2(\\d{4}|\\d\\d)" + CLOCK);
    const fail = (text) => { throw new Error(text); };
    const quoted = (text) => `“${String(text).slice(0, 40)}”`;

    // ------------------------------------------------- text and lines

    function decoded(bytes) {
      const [a, b] = bytes;
      if (a === 0x50 && b === 0x4b) fail("This is a packed file, such as a spreadsheet; save the sheet as CSV, or unpack the file.");
      if (a === 0x1f && b === 0x8b) fail("This is a packed file; unpack it first.");
      const wide = a === 0xff && b === 0xfe ? "utf-16le" : a === 0xfe && b === 0xff ? "utf-16be" : null;
      if (!wide && bytes.subarray(0, 4096).includes(0)) fail("This is no text: the file has bytes that no CSV has.");
      return new TextDecoder(wide || "utf-8").decode(bytes).replace(/^\ufeff/, "");
    }
    // The cells of a line; a quoted cell may hold the separator.
    function cells(line, separator) {
      if (separator === " ") return line.trim().split(/\s+/);
      if (!line.includes('"')) return line.split(separator).map((cell) => cell.trim());
      const found = [""];
      let inside = false;
      for (const c of line)
        if (c === '"') inside = !inside;
        else if (c === separator && !inside) found.push("");
        else found[found.length - 1] += c;
      return found.map((cell) => cell.trim());
    }
    function* lines(text) {
      for (let start = 0, number = 1; start < text.length; number++) {
        let end = text.indexOf("\n", start);
        if (end < 0) end = text.length;
        const line = text.slice(start, text[end - 1] === "\r" ? end - 1 : end);
        if (line.trim()) yield { line, number };
        start = end + 1;
      }
    }
    function head(text, most) {
      const found = [];
      for (const each of lines(text)) { found.push(each); if (found.length === most) break; }
      return found;
    }
    // What parts most of the first lines into as many cells.
    function separatorOf(first) {
      const often = (sep) => {
        const counts = first.map(({ line }) => cells(line, sep).length), last = counts[counts.length - 1];
        return last > 1 && 2 * counts.filter((n) => n === last).length > counts.length;
      };
      return [";", "\t", ",", " "].find(often) ?? fail(`Line ${first[0].number} has one column, ${quoted(first[0].line)};`
        + " needs a time and watts, with a comma, a semicolon or a tab between them.");
    }

    // ------------------------------------------------- cells

    // Milliseconds since 1970, in UTC where the cell has an offset; null if it is no time.
    function time(cell, dayFirst) {
      if (/^\d{9,10}(\.\d+)?$/.test(cell)) return Math.round(1000 * Number(cell));
      if (/^\d{12,13}$/.test(cell)) return Number(cell);
      let m = YEAR_FIRST.exec(cell), year, month, day, clock;
      if (m) [year, month, day, clock] = [m[1], m[2], m[3], m.slice(4)];
      else if ((m = YEAR_LAST.exec(cell))) {
        [day, month] = dayFirst || m[2] === "." ? [m[1], m[3]] : [m[3], m[1]];
        [year, clock] = [m[4].length === 2 ? `20${m[4]}` : m[4], m.slice(5)];
      } else return null;
      const [hours, minutes, seconds, noon, offset] = clock;
      let hour = Number(hours || 0);
      if (noon) hour = (hour % 12) + (/p/i.test(noon) ? 12 : 0);
      const at = Date.UTC(year, month - 1, day, hour, Number(minutes || 0)) + Math.round(1000 * Number(seconds || 0));
      const back = new Date(Date.UTC(year, month - 1, day));
      if (back.getUTCDate() !== Number(day) || hour > 23 || Number(minutes) > 59 || Number(seconds) >= 60) return null;
      if (!offset || /z/i.test(offset)) return at;
      const [, sign, h, min] = /([+-])(\d\d?):?(\d\d)?/.exec(offset);
      return at - (sign === "-" ? -1 : 1) * (60 * Number(h) + Number(min || 0)) * MINUTE;
    }
    // NaN where missing, null if it is no number.
    function number(cell, comma) {
      if (MISSING.test(cell)) return NaN;
      const text = comma ? cell.replace(/\./g, "").replace(",", ".") : cell;
      return /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text) ? Number(text) : null;
    }

    // ------------------------------------------------- the table

    // What the first lines tell: separator, columns, and which are likely time and power.
    function layout(text) {
      const first = head(text, 200);
      if (!first.length) fail("The file is empty; needs lines with a time and watts.");
      const separator = separatorOf(first), rows = first.map(({ line, number }) => ({ row: cells(line, separator), number }));
      const isTime = (cell) => cell !== undefined && (time(cell, true) ?? time(cell, false)) !== null;
      const at = rows.findIndex(({ row }) => row.some(isTime));
      if (at < 0) fail(`No time in the first ${first.length} lines, such as 2026-02-23 18:05; line ${rows[rows.length - 1].number} is`
        + ` ${quoted(first[first.length - 1].line)}.`);
      const data = rows.slice(at).map(({ row }) => row), size = data[0].length, header = at ? rows[at - 1].row : [];
      const names = data[0].map((_, c) => (header.length === size && header[c]) || `column ${c + 1}`);
      const when = data[0].findIndex(isTime), clock = data[0].findIndex((cell, c) => c !== when && /^\d\d?:\d\d(:\d\d)?$/.test(cell));
      const comma = separator !== "," && data.some((row) => row.some((cell, c) => c !== when && /^[+-]?[\d.]*,\d+$/.test(cell)));
      const numeric = names.map((_, c) => c).filter((c) => c !== when && c !== clock &&
        data.some((row) => number(row[c] ?? "", comma) !== null && !MISSING.test(row[c])));
      const score = (c) => (POWER.test(names[c]) ? 2 : 0) - (OTHER.test(names[c]) || ENERGY.test(names[c]) ? 4 : 0);
      const power = numeric.reduce((a, c) => (a < 0 || score(c) > score(a) ? c : a), -1);
      if (power < 0) fail(`No column of numbers beside the time in line ${rows[at].number}: ${quoted(first[at].line)}.`);
      const sensor = names.indexOf("entity_id");
      return { separator, names, when, clock, power, numeric, comma, sensor, from: rows[at].number };
    }

    // Stamps and readings of all lines, in the order of time.
    function table(text, { separator, when, clock, comma, sensor, from }, power, dayFirst) {
      const at = [], watts = [], numbers = [];
      let first = null;
      for (const { line, number: n } of lines(text)) {
        if (n < from) continue;
        const row = cells(line, separator), cell = clock < 0 ? row[when] : `${row[when]} ${row[clock]}`;
        const stamp = time(cell ?? "", dayFirst), reading = number(row[power] ?? "", comma);
        if (sensor >= 0 && row[sensor] !== (first ??= row[sensor])) fail(`Line ${n} is of ${quoted(row[sensor])}, and the`
          + ` lines before it of ${quoted(first)}; needs a file of one sensor.`);
        if (stamp === null) fail(`Line ${n}: ${quoted(cell)} is not a time, needs one such as 2026-02-23 18:05`
          + (YEAR_LAST.test(cell) ? "; are day and month the other way round?" : "."));
        if (reading === null) fail(`Line ${n}: ${quoted(row[power])} is not a number.`);
        if (reading < 0) fail(`Line ${n}: ${row[power]} is below 0, as where the sun feeds the grid; needs what the house draws.`);
        at.push(stamp); watts.push(reading); numbers.push(n);
      }
      if (at.length > 1 && at[0] > at[at.length - 1]) for (const each of [at, watts, numbers]) each.reverse(); // newest first
      for (let i = 1; i < at.length; i++)
        if (at[i] < at[i - 1]) fail(`Line ${numbers[i]} goes back in time, to ${told(at[i])}; where a clock was set back, cut the file in two.`);
      return { at, watts, numbers };
    }
    const told = (ms) => new Date(ms).toISOString().slice(0, 16).replace("T", " ");
    // Whether 03/04 may be 3 April or 4 March, and which it is if the lines tell.
    function order(text, { separator, when, from }) {
      let first = true, second = true, some = false;
      for (const { line, number: n } of lines(text)) {
        if (n < from) continue;
        const m = YEAR_LAST.exec(cells(line, separator)[when] ?? "");
        if (!m || m[2] === ".") break;
        some = true; first &&= Number(m[3]) <= 12; second &&= Number(m[1]) <= 12;
      }
      return { ambiguous: some && first && second, dayFirst: first };
    }

    // ------------------------------------------------- one reading a minute

    // The mean of each minute of readings that hold until the next, but no longer than `hold`:
    // read_meter(file, step="1min", hold=...).
    function means(at, watts, hold) {
      const first = at[0] - (((at[0] % MINUTE) + MINUTE) % MINUTE), size = Math.floor((at[at.length - 1] - first) / MINUTE) + 1;
      const sums = new Float64Array(size), known = new Float64Array(size);
      at.forEach((stamp, i) => {
        if (Number.isNaN(watts[i])) return;
        let begin = (stamp - first) / MINUTE;
        const end = Math.min(i + 1 < at.length ? (at[i + 1] - first) / MINUTE : Infinity, begin + hold, size);
        for (let t = Math.floor(begin); begin < end; t++) {
          const part = Math.min(end, t + 1) - begin;
          sums[t] += watts[i] * part; known[t] += part; begin += part;
          if (begin < t + 1) break;
        }
      });
      return { start: first, x: sums.map((sum, t) => (known[t] >= LEAST ? sum / known[t] : NaN)) };
    }
    function everyMinute({ at, watts, numbers }) {
      const gaps = Float64Array.from(at.slice(1), (stamp, i) => stamp - at[i]), sorted = gaps.slice().sort(), n = gaps.length;
      const middle = n ? sorted[n >> 1] : MINUTE, usual = gaps.filter((gap) => Math.abs(gap - middle) <= middle / 5).length;
      const seldom = middle >= 2 * MINUTE; // a log of changes, unless it is regular
      if (seldom && 2 * usual >= n) fail(`Most readings are ${Number((middle / MINUTE).toPrecision(3))} minutes apart; needs one a minute or more,`
        + " since a mean over more hides what runs for a few minutes.");
      const steps = n ? (at[n] - at[0]) / MINUTE : 1, wrong = n ? gaps.indexOf(sorted[n - 1]) : 0;
      if (steps > Math.max(1e6, 100 * at.length)) fail(`Line ${numbers[wrong + 1]}: no reading from ${told(at[wrong])} to`
        + ` ${told(at[wrong + 1])}; is a time wrong?`);
      if (middle !== MINUTE || gaps.some((gap) => gap % MINUTE)) return means(at, watts, seldom ? LONG_HOLD : HOLD);
      const twice = gaps.indexOf(0);
      if (twice >= 0) fail(`Line ${numbers[twice + 1]}: the time ${told(at[twice + 1])} comes twice, needs each once.`);
      const x = new Float64Array(steps + 1).fill(NaN);
      at.forEach((stamp, i) => { x[(stamp - at[0]) / MINUTE] = watts[i]; });
      return { start: at[0], x };
    }

    // Readings in watts, one a minute, and what was found. `chosen` may have power, unit and dayFirst.
    function meter(bytes, chosen = {}) {
      const text = decoded(bytes), found = layout(text), power = chosen.power ?? found.power, name = found.names[power];
      const dates = order(text, found), dayFirst = chosen.dayFirst ?? dates.dayFirst;
      const rows = table(text, found, power, dayFirst);
      const top = rows.watts.reduce((a, b) => (b > a ? b : a), -1);
      if (top < 0) fail(`The column ${quoted(name)} has no reading.`);
      if (ENERGY.test(name)) fail(`The column ${quoted(name)} names an energy; needs power, in W or kW.`);
      const unit = chosen.unit ?? (KILO.test(name) || (!WATTS.test(name) && top < LOWEST) ? "kW" : "W");
      const rises = rows.watts.filter((v, i) => v > rows.watts[i - 1]).length, falls = rows.watts.filter((v, i) => v < rows.watts[i - 1]).length;
      if (rises > 24 && !falls) fail(`The column ${quoted(name)} rises ${rises} times and never falls, as a counter of energy does; needs power.`);
      const { start, x } = everyMinute(rows), watts = unit === "kW" ? x.map((v) => 1000 * v) : x, most = unit === "kW" ? 1000 * top : top;
      if (most < LOWEST || most > HIGHEST) fail(`The largest reading of ${quoted(name)} is ${most.toLocaleString("en")} W, expected are`
        + ` ${LOWEST} to ${HIGHEST.toLocaleString("en")} W. Is it in another unit than ${unit}?`);
      const cut = Math.max(0, watts.length - MOST_MINUTES);
      return { start: start + cut * MINUTE, watts: watts.slice(cut), cut, lines: rows.at.length, unit, power, dayFirst,
        ambiguous: dates.ambiguous, columns: found.numeric.map((c) => ({ c, name: found.names[c] })) };
    }
    return { meter };
  }

  window.hmmExplore.reader = reader;
  window.hmmExplore.readMeter = reader().meter;
})();
