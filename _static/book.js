// Read from a folder (file://) a page may not fetch others, so search lists titles without excerpts.
if (location.protocol === "file:" && typeof DOCUMENTATION_OPTIONS !== "undefined") {
  DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;
}

// A formula that is wider than its column is made smaller, also when a solution folds out.
const fit = (column) => {
  for (const formula of column.querySelectorAll("mjx-container[display]")) {
    formula.style.setProperty("--fit", 1);
    const { width } = formula.firstElementChild.getBoundingClientRect();
    if (width > column.clientWidth) formula.style.setProperty("--fit", column.clientWidth / width);
  }
};
addEventListener("load", () => globalThis.MathJax?.startup?.promise.then(() => {
  const columns = new ResizeObserver((changes) => changes.forEach(({ target }) => fit(target)));
  for (const column of document.querySelectorAll("div.math")) columns.observe(column);
}));
