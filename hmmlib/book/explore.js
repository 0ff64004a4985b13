// Figures that compute in the reader's browser; here is what all kinds of them share.
// No framework, no network. hmmlib.book.explore writes the elements that these files bring to
// life; each kind has a file of its own, which puts a function into `hmmExplore.kinds`.
(function () {
  "use strict";
  if (window.hmmExplore) return queueMicrotask(window.hmmExplore.start);

  const log = Math.log, exp = Math.exp, NO = -Infinity; // -Infinity is an honest log 0
  const range = (n) => Array.from({ length: n }, (_, i) => i);
  const sum = (values) => values.reduce((a, b) => a + b, 0);
  const max = (values) => values.reduce((a, b) => (b > a ? b : a), NO);
  const copy = (value) => JSON.parse(JSON.stringify(value));

  // A row of probabilities in which entry k becomes v; the others keep their proportions.
  function normalise(row, k, v) {
    v = row.length > 1 ? Math.min(1, Math.max(0, v)) : 1;
    const rest = sum(row) - row[k];
    return row.map((p, i) => (i === k ? v : rest > 0 ? (p / rest) * (1 - v)
      : (1 - v) / (row.length - 1)));
  }

  // n numbers in [0, 1), the same for the same seed: mulberry32.
  function uniforms(seed, n) {
    return range(n).map(() => {
      seed = (seed + 0x6d2b79f5) | 0;
      let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
      t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
      return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
    });
  }
  // The first index at which the cumulated row exceeds u.
  function pick(row, u) {
    let total = 0;
    const at = row.findIndex((p) => { total += p; return u < total; });
    return at < 0 ? row.findLastIndex((p) => p > 0) : at;
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
  const percent = (p) => (p * 100).toFixed(p < 0.1 ? 2 : 1) + "%";
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
.hmm-grid{position:relative;display:grid;justify-items:center;padding:0 3px 3px 0}
.hmm-grid>svg{contain:size;width:100%;height:100%;pointer-events:none;overflow:hidden}
.hmm-grid line{vector-effect:non-scaling-stroke}
.hmm-explore .hmm-node{position:relative;z-index:1;width:34px;height:34px;margin:1px 0;border-radius:50%;padding:0;border:2px solid var(--c);background:var(--c);color:var(--on)}
.hmm-explore .hmm-node.off{background:var(--paper);color:inherit}
.hmm-node.on-path{box-shadow:0 0 0 3.5px var(--best)}
.hmm-node.chosen:not(:focus-visible){outline:2px dotted currentColor;outline-offset:3px}
.hmm-under.chosen{font-weight:700;background:var(--ink);color:var(--paper);padding:0 .4em;border-radius:.3em}
.hmm-under{font-size:10.5px;line-height:1.25;text-align:center;z-index:1;white-space:nowrap;font-variant-numeric:tabular-nums;letter-spacing:-.05em}
.hmm-number{min-height:26px;margin-bottom:10px;white-space:pre-line;text-shadow:0 0 3px var(--paper),0 0 3px var(--paper),0 0 2px var(--paper),0 0 2px var(--paper)}
.hmm-explore .hmm-word{z-index:1;font-size:11px;padding:.1rem 0;width:calc(100% - 2px);max-width:60px;overflow:hidden;text-overflow:ellipsis;white-space:nowrap}
.hmm-label{position:sticky;left:0;z-index:2;background:var(--paper);align-self:center;justify-self:start;margin-right:.3rem;font-size:12px;font-weight:600;max-width:min(8em,17vw);overflow:hidden;text-overflow:ellipsis}
.hmm-stack{width:34px;height:40px;margin:3px 0 10px;display:flex;flex-direction:column;border:1px solid var(--rule);print-color-adjust:exact}
.hmm-say{min-height:6.2em;padding:.45rem .6rem;margin:.5rem 0;border-left:3px solid var(--q);overflow-wrap:anywhere}
.hmm-q{color:var(--q);font-style:italic;font-weight:600}
.hmm-s{border-bottom:3px solid var(--c)}
.hmm-explore sub{font-size:.75em;line-height:0;white-space:nowrap}
.hmm-facts{display:flex;flex-wrap:wrap;gap:.2rem 1.6rem;margin:.4rem 0}
.hmm-explore b{font-variant-numeric:tabular-nums}
.hmm-explore table{border-collapse:collapse;margin:.3rem 1.5rem .3rem 0;display:inline-table;width:auto;vertical-align:top;font-size:13px}
.hmm-explore caption{caption-side:top;text-align:left;font-weight:600;padding:0;color:inherit}
.hmm-explore tr,.hmm-explore th,.hmm-explore td{padding:.1rem .3rem;text-align:left;border:0;font-weight:400;background:transparent;color:inherit;white-space:nowrap}
.hmm-explore td{padding-right:.8rem;font-variant-numeric:tabular-nums}
.hmm-explore td input{width:min(5.2em,12.5vw);padding:.1rem .25rem}
.hmm-explore details{margin:.3rem 0}.hmm-explore summary{cursor:pointer}
.hmm-hidden{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
.hmm-chart{display:block;width:100%;min-width:560px;height:auto}
.hmm-chart text{font-size:12px;fill:currentColor}
.hmm-handle{cursor:ns-resize;touch-action:none;stroke:var(--ink);stroke-width:1.5}
.hmm-meter{display:inline-block;width:120px;height:12px;border:1px solid var(--rule);vertical-align:middle}
.hmm-meter i{display:block;height:100%}
.hmm-explore input[type=range]{padding:0;vertical-align:middle;width:min(320px,60vw);accent-color:var(--forward)}
.hmm-plots{display:flex;flex-wrap:wrap;gap:.4rem 1.5rem;margin-bottom:.4rem}.hmm-plots>div{flex:1 1 290px;min-width:0}
.hmm-plot{display:block;width:100%;height:auto;overflow:visible}
.hmm-plot text{font-size:11px;fill:currentColor}
.hmm-column{cursor:ns-resize;touch-action:none}
.hmm-grip{stroke:var(--ink);stroke-width:3}
.hmm-strip{display:block;width:100%;height:26px;margin:.1rem 0 .4rem}
.hmm-days{display:grid;grid-template-columns:repeat(auto-fill,minmax(44px,1fr));gap:.3rem;min-height:5.6em;margin-bottom:.5rem;align-content:start}
.hmm-days span{display:flex;flex-direction:column;text-align:center;font-size:11px;overflow:hidden;text-overflow:ellipsis}
.hmm-days small{font-size:10.5px}.hmm-days i{font-style:normal;font-weight:600;font-size:13px;background:var(--c);color:var(--on);border:1px solid var(--c);border-radius:.25rem}
.hmm-explore .hmm-why td:nth-child(3){text-align:right}.hmm-explore .hmm-why th:nth-child(2){text-align:center}
.hmm-why tr:last-child>*{border-top:1px solid var(--rule)}
.hmm-lean{position:relative;display:block;width:clamp(84px,22vw,240px);height:14px;background:linear-gradient(90deg,transparent calc(50% - .5px),currentColor 0 calc(50% + .5px),transparent 0);print-color-adjust:exact}
.hmm-lean i{position:absolute;inset:2px auto 2px 50%;width:var(--w)}
.hmm-lean i.hmm-against{inset:2px 50% 2px auto}
.hmm-report{border-top:1px solid var(--rule);margin-top:.6rem}
.hmm-report h4,.hmm-report h5{font-size:1em;font-weight:700;margin:.8rem 0 .3rem}
.hmm-report p,.hmm-report ul,.hmm-explore details p{font-size:inherit;margin:.3rem 0}
.hmm-report ul{padding-left:1.2em}
.hmm-report>:last-child table{display:table}
.hmm-report li{margin:.15rem 0;overflow-wrap:anywhere}
@media print{.hmm-controls,.hmm-explore button:not(.hmm-node,.hmm-word,[aria-pressed=true]),.hmm-explore>details:not([open]),.hmm-alone body :not(.hmm-this,.hmm-this *,:has(.hmm-this)){display:none!important}
.hmm-node,.hmm-days i,.hmm-under,.hmm-bar button{print-color-adjust:exact}
.hmm-scroll{overflow:visible}.hmm-report li,.hmm-explore tr,.hmm-grid{break-inside:avoid}}
@media(forced-colors:active){.hmm-explore{--paper:Canvas!important;--ink:CanvasText!important;--best:Highlight!important;--forward:LinkText!important;--backward:CanvasText!important;--smoothed:CanvasText!important}
.hmm-explore :is(.hmm-node,.hmm-stack,.hmm-days i,.hmm-lean,.hmm-under.chosen){forced-color-adjust:none}
.hmm-number{background:Canvas}.hmm-explore .hmm-node.off{border-style:dashed;border-color:GrayText}
.hmm-explore button[aria-pressed=true]{forced-color-adjust:none;color:HighlightText;background:Highlight}}
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
      if (!(name in told)) { now[name] = copy(shape); continue; } // a link from before this was there
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

  // ------------------------------------------------- starting

  const kinds = {}; // name -> function of the element and its model
  const alive = new Map();
  const repaint = () => alive.forEach((palette, root) => (root.isConnected ? paint(root, palette) : alive.delete(root)));
  function start() {
    if (!document.getElementById("hmm-style")) document.head.append(h("style", { id: "hmm-style" }, STYLE));
    for (const root of document.querySelectorAll(".hmm-explore:not([data-ready])")) {
      if (!kinds[root.dataset.kind]) continue; // its file is still to come
      const model = JSON.parse(root.dataset.model);
      set(root, { "data-ready": true, "data-lm-suppress-shortcuts": "true" }); // JupyterLab leaves us the keys
      paint(root, model.palette);
      alive.set(root, model.palette);
      kinds[root.dataset.kind](root, model);
      if (location.hash.slice(1).split(";")[0] === root.id) root.scrollIntoView({ block: root.offsetHeight > innerHeight ? "start" : "center" });
    }
  }
  window.hmmExplore = { kinds, start, log, exp, NO, range, sum, max, copy, normalise, isRow, uniforms, pick, h, set, button, bold, hidden,
    probability, logarithm, percent, short, shade, initials, begin, pack, unpack };
  for (const node of [document.documentElement, document.body || document.documentElement])
    new MutationObserver(repaint).observe(node, { attributes: true, attributeFilter: ["data-theme", "class", "data-jp-theme-light", "theme"] });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", repaint);
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else queueMicrotask(start); // when the kinds in this script are known
})();
