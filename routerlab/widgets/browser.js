// JudgmentBrowser: filter judgments, read a pair, see who said what.

function verdictChips(verdicts) {
  return verdicts.map(({ judge, said, side, note }) => h("span", { class: `rl-reveal rl-${side}` },
    judge ? h("b", {}, `${judge}: `) : null, said, note ? h("small", {}, ` “${note}”`) : null));
}

// Win rates of the models in each slice: a table that its heads sort.
function winRates(options, choose) {
  const columns = [["slice", "Slice"], ["model", "Model"], ["rate", "Win rate, %"], ["n", "Judgments"]];
  let shown = { rows: [] };
  let [key, down] = ["slice", false];
  const select = h("select", { class: "rl-input", "aria-label": "Win rates by", onchange: () => choose(select.value) },
    h("option", { value: "" }, "all together"), options.map(([name, label]) => h("option", { value: name }, label.toLowerCase())));
  const heads = columns.map(([name, label]) => h("th", { scope: "col" },
    h("button", { type: "button", class: "rl-sort", "data-sort": name, onclick: () => sort(name) }, label)));
  const body = h("tbody");
  const note = h("div", { class: "rl-muted rl-small" });
  const head = h("summary", {}, "Win rates");
  head.dataset.lmSuppressShortcuts = "true";
  const node = h("details", { class: "rl-rates", open: true }, head,
    h("div", { class: "rl-row" }, h("span", { class: "rl-muted" }, "by"), select),
    h("div", { class: "rl-rates-scroll", tabindex: "0", role: "region", "aria-label": "Win rates" },
      h("table", { class: "rl-table" }, h("thead", {}, h("tr", {}, heads)), body)), note);

  function sort(name) {
    [key, down] = [name, key === name ? !down : name === "rate" || name === "n"];
    draw();
  }

  function draw() {
    const sign = down ? -1 : 1;
    const before = (a, b) => sign * (typeof a[key] === "number" ? a[key] - b[key] : a[key].localeCompare(b[key], "en", { numeric: true }));
    body.replaceChildren(...[...shown.rows].sort(before).map((row) => {
      const bar = h("i", { class: "rl-dot" });
      const whisker = h("i", { class: "rl-whisker" });
      bar.style.left = `${100 * row.rate}%`;
      whisker.style.left = `${100 * row.low}%`;
      whisker.style.width = `${100 * (row.high - row.low)}%`;
      const said = `${(100 * row.rate).toFixed(0)} [${(100 * row.low).toFixed(0)}, ${(100 * row.high).toFixed(0)}]`;
      return h("tr", {}, h("td", {}, row.slice.replaceAll("_", " ")), h("td", {}, row.model),
        h("td", {}, h("span", { class: "rl-rate" },
          h("span", { class: "rl-track", "aria-hidden": "true" }, whisker, bar), h("span", { class: "rl-num" }, said))),
        h("td", { class: "rl-num" }, row.n.toLocaleString("en")));
    }));
    for (const cell of heads) {
      const on = cell.firstChild.dataset.sort === key;
      if (on) cell.setAttribute("aria-sort", down ? "descending" : "ascending");
      else cell.removeAttribute("aria-sort");
    }
  }

  return {
    node,
    show(rates) {
      shown = rates;
      select.value = rates.by;
      const more = rates.left_out ? ` ${plural(rates.left_out, "row")} with fewer judgments left out.` : "";
      setText(note, `Of the judgments below. Ties and both bad count half; 95% intervals, over prompts.${more}`);
      draw();
    },
  };
}

function browser({ model, el }) {
  let wanted = null;
  const fields = Object.entries(model.get("options")).map(([name, { label, values }]) =>
    h("label", { class: "rl-field" }, h("span", { class: "rl-label" }, label),
      h("select", { class: "rl-input", name, onchange: (event) => filter({ filters: { [name]: event.target.value } }) }, h("option", { value: "" }, "all"),
        values.map((value, i) => h("option", { value: i }, value.replaceAll("_", " "))))));
  const selects = fields.map((label) => label.querySelector("select"));
  const split = h("input", { type: "checkbox", onchange: () => filter({ split: split.checked }) });
  const words = "Words in the prompt";
  const text = h("input", { class: "rl-input", type: "search", placeholder: words, "aria-label": words, onchange: () => filter({ text: text.value }) });
  const count = h("span", { class: "rl-count", role: "status" });
  const chosen = h("button", { type: "button", class: "rl-btn rl-quiet", onclick: () => filter({ prompt_ids: null }) });
  const clear = h("button", { type: "button", class: "rl-btn rl-quiet", onclick: () => filter({ clear: true }) }, "Clear filters");
  const none = h("div", { class: "rl-finished", hidden: true });
  const rates = winRates(options(), (by) => line.ask({ type: "slice", by }));
  const rows = h("div", { class: "rl-rows", role: "listbox", tabindex: "0", "aria-label": "Judged pairs" });
  const previous = h("button", { type: "button", class: "rl-btn rl-quiet", onclick: () => turn(-1) }, "Previous");
  const next = h("button", { type: "button", class: "rl-btn rl-quiet", onclick: () => turn(1) }, "Next");
  const pages = h("span", { class: "rl-count" });
  const expand = h("button", { type: "button", class: "rl-btn rl-quiet", "aria-expanded": "false", onclick: () => prompt.toggle() }, "Expand");
  const prompt = promptBox(expand);
  const verdicts = h("div", { class: "rl-last" });
  const sides = ["a", "b"].map((side) => {
    const name = h("div", { class: "rl-head-model" });
    const body = h("div", { class: "rl-text", tabindex: "0", role: "region", dir: "auto" });
    return { name, body, node: h("section", { class: `rl-col rl-${side}` }, name, body) };
  });
  const detail = h("div", { class: "rl-detail" },
    h("div", { class: "rl-prompt" },
      h("div", { class: "rl-row" }, h("b", { class: "rl-label" }, "Prompt"), h("span", { class: "rl-grow" }), expand), prompt.node), verdicts,
    h("div", { class: "rl-cols" }, sides.map((side) => side.node)));
  const error = h("div", { class: "rl-banner", role: "alert", hidden: true });
  const root = h("div", { class: "rl rl-browser", role: "group", "aria-label": "Judgments", tabindex: "0" },
    h("div", { class: "rl-head" }, h("span", { class: "rl-title" }, "Judgments"), h("span", { class: "rl-grow" }), count),
    h("div", { class: "rl-filters" }, fields,
      h("div", { class: "rl-field" }, h("span", { class: "rl-label" }, "Prompt"), text),
      h("label", { class: "rl-check" }, split, " Judges disagree"), chosen, clear),
    error, rates.node, none);
  const two = h("div", { class: "rl-two" },
      h("div", { class: "rl-list" }, rows, h("div", { class: "rl-row" }, previous, pages, next)), detail);
  root.append(two);
  const line = asking(model, root, fail);
  detail.style.setProperty("--rl-height", `min(${model.get("height")}px, 52vh)`);
  hideSummary(model, el);
  el.append(root);

  function options() {
    return Object.entries(model.get("options")).map(([name, { label }]) => [name, label]);
  }

  // Python holds the filters. The page sends what was changed, and shows what it is told.
  function filter(changed) {
    line.ask({ type: "filter", ...changed });
  }

  function turn(by) {
    line.ask({ type: "page", page: model.get("found").page + by });
  }

  function open(id) {
    wanted = id; // keys may come faster than answers
    line.ask({ type: "open", id });
  }

  function fail(message) {
    const said = message || (model.get("detail").error ?? "");
    if (error.textContent !== said) setText(error, said);
    error.hidden = !said;
  }

  function showFilters() {
    const { filters, restricted } = model.get("found");
    for (const box of selects) box.value = filters.choices[box.name];
    split.checked = filters.split;
    if (document.activeElement !== text || !filters.text) text.value = filters.text;
    setText(chosen, `${plural(filters.prompts ?? 0, "chosen prompt")} ×`);
    chosen.setAttribute("aria-label", "Show all prompts again");
    chosen.hidden = filters.prompts === null;
    clear.hidden = !filters.words.length;
    const what = filters.words.length ? `: ${filters.words.join(", ")}` : "";
    const again = h("button", { type: "button", class: "rl-btn", onclick: () => filter({ clear: true }) }, "Clear filters");
    none.replaceChildren(h("b", {}, "No judgment matches."),
      h("p", {}, `${restricted ? "Within the selection" : "Filters"}${what}.`), filters.words.length ? again : "");
  }

  function showRows() {
    wanted = model.get("detail").id;
    const { items, page, n_pages: n, n_pairs: pairs, n_judgments: judgments, restricted } = model.get("found");
    setText(count, `${plural(pairs, "pair")}, ${plural(judgments, "judgment")}${restricted ? " in the selection" : ""}`);
    setText(pages, `${page + 1} of ${Math.max(1, n)}`);
    previous.disabled = page === 0;
    next.disabled = page + 1 >= n;
    rows.replaceChildren(...items.map(row));
    none.hidden = items.length > 0;
    two.hidden = rates.node.hidden = !items.length;
    rates.show(model.get("found").rates);
    showFilters();
    showDetail();
  }

  function row({ id, prompt: text, models, split: apart, changed, winner }) {
    const props = { class: "rl-item", role: "option", id: `${root.id}-${id}`, "data-id": id, "aria-selected": "false" };
    return h("div", { ...props, onclick: () => open(id) }, h("span", { class: "rl-item-prompt" }, text),
      h("span", { class: "rl-item-won" }, winner.name ? h("b", { class: `rl-reveal rl-${winner.side}` }, winner.name, " wins") : null,
        h("span", {}, winner.text), apart ? h("em", { class: "rl-split" }, "split") : null,
        changed ? h("em", { class: "rl-split" }, "changed mind") : null),
      h("span", { class: "rl-item-models" }, models));
  }

  function showDetail() {
    const shown = model.get("detail");
    detail.hidden = !shown.id;
    for (const item of rows.children) item.setAttribute("aria-selected", String(item.dataset.id === shown.id));
    const selected = rows.querySelector('[aria-selected="true"]');
    selected?.scrollIntoView({ block: "nearest" });
    if (selected) rows.setAttribute("aria-activedescendant", selected.id);
    if (shown.error) fail(shown.error);
    if (!shown.id) return;
    prompt.show({ ...shown, body: shown.prompt });
    verdicts.replaceChildren(...verdictChips(shown.verdicts));
    sides.forEach(({ name, body }, i) => {
      const side = shown.sides[i];
      name.replaceChildren(h("b", {}, side.model), side.detail ? h("small", {}, ` ${side.detail}`) : "");
      body.setAttribute("aria-label", visible(`Response of ${side.model}`));
      const missing = h("em", { class: "rl-muted" }, "The responses table does not hold this response.");
      if (side.body === null) body.replaceChildren(missing);
      else fillText(body, { body: side.body, html: true });
      body.scrollTop = 0;
    });
  }

  function onKey(event) {
    event.stopPropagation();
    const step = { ArrowDown: 1, j: 1, ArrowUp: -1, k: -1 }[event.key];
    if (!step || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.matches("input,select,.rl-text,.rl-prompt-text")) return;
    event.preventDefault();
    const ids = model.get("found").items.map((item) => item.id);
    const id = ids[Math.min(ids.length - 1, Math.max(0, ids.indexOf(wanted) + step))];
    if (id) open(id);
  }

  root.id = `rl-${makeNonce()}`;
  root.addEventListener("keydown", onKey);
  model.on("change:found", showRows);
  model.on("change:detail", showDetail);
  showRows();
  return () => {
    line.stop();
    model.off("change:found", showRows);
    model.off("change:detail", showDetail);
  };
}

export default { render: browser };
