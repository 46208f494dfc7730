// JudgmentBrowser: filter judgments, read a pair, see who said what.

function verdictChips(verdicts) {
  return verdicts.map(({ judge, said, side, note }) => h("span", { class: `rl-reveal rl-${side}` },
    judge ? h("b", {}, `${judge}: `) : null, said, note ? h("small", {}, ` “${note}”`) : null));
}

function browser({ model, el }) {
  let wanted = null;
  const selects = Object.entries(model.get("options")).map(([name, { label, values }]) =>
    h("label", { class: "rl-field" }, h("span", { class: "rl-label" }, label),
      h("select", { class: "rl-input", name, onchange: apply }, h("option", { value: "" }, "all"),
        values.map((value, i) => h("option", { value: i }, value.replaceAll("_", " "))))));
  const split = h("input", { type: "checkbox", onchange: apply });
  const words = "Words in the prompt";
  const text = h("input", { class: "rl-input", type: "search", placeholder: words, "aria-label": words, onchange: apply });
  const count = h("span", { class: "rl-count", role: "status" });
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
    h("div", { class: "rl-filters" }, selects,
      h("div", { class: "rl-field" }, h("span", { class: "rl-label" }, "Prompt"), text),
      h("label", { class: "rl-check" }, split, " Judges disagree")),
    error,
    h("div", { class: "rl-two" },
      h("div", { class: "rl-list" }, rows, h("div", { class: "rl-row" }, previous, pages, next)), detail));
  detail.style.setProperty("--rl-height", `min(${model.get("height")}px, 52vh)`);
  el.append(root);

  function apply() {
    const filters = Object.fromEntries(selects.map((label) => label.querySelector("select")).map((box) => [box.name, box.value]));
    model.send({ type: "filter", filters, split: split.checked, text: text.value });
  }

  function turn(by) {
    model.send({ type: "page", page: model.get("found").page + by });
  }

  function open(id) {
    wanted = id; // keys may come faster than answers
    model.send({ type: "open", id });
  }

  function showRows() {
    wanted = model.get("detail").id;
    const { items, page, n_pages: n, n_pairs: pairs, n_judgments: judgments, restricted } = model.get("found");
    setText(count, `${plural(pairs, "pair")}, ${plural(judgments, "judgment")}${restricted ? " in the selection" : ""}`);
    setText(pages, `${page + 1} of ${Math.max(1, n)}`);
    previous.disabled = page === 0;
    next.disabled = page + 1 >= n;
    rows.replaceChildren(...items.map(row));
    showDetail();
  }

  function row({ id, prompt: text, models, split: apart }) {
    const props = { class: "rl-item", role: "option", id: `${root.id}-${id}`, "data-id": id, "aria-selected": "false" };
    return h("div", { ...props, onclick: () => open(id) }, h("span", { class: "rl-item-prompt" }, text),
      h("span", { class: "rl-item-models" }, models, apart ? h("em", { class: "rl-split" }, "split") : null));
  }

  function showDetail() {
    const shown = model.get("detail");
    detail.hidden = !shown.id;
    for (const item of rows.children) item.setAttribute("aria-selected", String(item.dataset.id === shown.id));
    const selected = rows.querySelector('[aria-selected="true"]');
    selected?.scrollIntoView({ block: "nearest" });
    if (selected) rows.setAttribute("aria-activedescendant", selected.id);
    setText(error, shown.error ?? "");
    error.hidden = !shown.error;
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
    model.off("change:found", showRows);
    model.off("change:detail", showDetail);
  };
}

export default { render: browser };
