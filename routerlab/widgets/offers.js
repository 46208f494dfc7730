// OfferExplorer: filters, a picture of cost against quality, and a table to pick from. Python filters, sorts and says;
// the page asks and draws. Where the dots stand never changes, so an answer names only those that pass.

const SVG = "http://www.w3.org/2000/svg";
const [WIDTH, HEIGHT, LEFT, BOTTOM, TOP, RIGHT, STRIP] = [640, 330, 54, 68, 14, 14, 22];
const ASK_MS = 120; // after the last key
const LABELS = 9;

function s(tag, props, ...children) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(props)) node.setAttribute(name, value);
  node.append(...children.map((child) => (child instanceof Node ? child : visible(child))));
  return node;
}

const FLOOR = HEIGHT - BOTTOM;
const px = (fraction) => LEFT + fraction * (WIDTH - LEFT - RIGHT);
const py = (fraction) => FLOOR - fraction * (FLOOR - TOP);

function explorer({ model, el }) {
  const setup = model.get("setup");
  const places = new Map(setup.names.map((name, i) => [name, i]));
  let filters = { ...model.get("view").filters };
  let chosen = new Set(model.get("view").chosen);
  let [timer, waiting, asked] = [null, null, 0];

  // The picture: one path for each kind of mark, however many offers there are.
  const layer = (kind) => s("path", { class: kind, d: "" });
  const [faint, rest, whiskers, dots, picked] =
    ["rl-off-faint", "rl-off-rest", "rl-off-whisker", "rl-off-dot", "rl-off-picked"].map(layer);
  const names = s("g", { class: "rl-off-names" });
  const hot = s("circle", { class: "rl-off-hot", r: 8, visibility: "hidden" });
  const axis = (props) => s("line", { class: "rl-axis", ...props });
  const svg = s("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: "rl-svg", "aria-hidden": "true" },
    ...setup.yticks.map(({ at, label }) => s("g", {}, s("line", { class: "rl-grid", x1: LEFT, x2: WIDTH - RIGHT, y1: py(at), y2: py(at) }),
      s("text", { x: LEFT - 8, y: py(at) + 4, "text-anchor": "end" }, label))),
    ...setup.xticks.map(({ at, label }) => s("g", {}, axis({ x1: px(at), x2: px(at), y1: FLOOR + STRIP, y2: FLOOR + STRIP + 5 }),
      s("text", { x: px(at), y: FLOOR + STRIP + 18, "text-anchor": at > 0.98 ? "end" : "middle" }, label))),
    axis({ x1: LEFT, x2: WIDTH - RIGHT, y1: FLOOR, y2: FLOOR }), axis({ x1: LEFT, x2: WIDTH - RIGHT, y1: FLOOR + STRIP, y2: FLOOR + STRIP }),
    s("text", { class: "rl-axis-name", x: LEFT - 8, y: FLOOR + STRIP / 2 + 4, "text-anchor": "end" }, "?"),
    s("text", { class: "rl-axis-name", x: (LEFT + WIDTH - RIGHT) / 2, y: HEIGHT - 6, "text-anchor": "middle" }, `${setup.said}, log scale`),
    s("text", { class: "rl-axis-name rl-off-side", transform: `translate(12 ${(TOP + FLOOR) / 2}) rotate(-90)`, "text-anchor": "middle" }, "Quality on your prompts"),
    faint, rest, whiskers, dots, picked, names, hot);
  const stage = h("div", { class: "rl-off-stage" }, svg);
  const tip = h("div", { class: "rl-where" });

  const at = (i) => [px(setup.x[i]), setup.y[i] ? py(setup.y[i][1]) : FLOOR + STRIP / 2];
  const dot = (i) => { const [x, y] = at(i); return `M${x.toFixed(1)} ${y.toFixed(1)}h0`; };
  const tick = (i) => `M${at(i)[0].toFixed(1)} ${FLOOR + 4}v${STRIP - 8}`;
  const whisker = (i) => {
    const [low, , high] = setup.y[i];
    return low === null ? "" : `M${at(i)[0].toFixed(1)} ${py(low).toFixed(1)}V${py(high).toFixed(1)}`;
  };
  const measured = (list) => list.filter((i) => setup.y[i]);
  faint.setAttribute("d", measured([...setup.names.keys()]).map(dot).join(""));

  const field = (name, label, node) => {
    const known = setup.known[name];
    return h("label", { class: "rl-field" }, h("span", { class: "rl-label-line" }, h("span", {}, label),
      known === undefined ? null : h("small", {}, `known of ${known.toLocaleString("en")}`)), node);
  };
  const inputs = new Map();
  const number = (name, label, factor = 1, step = "any") => {
    const node = h("input", { type: "number", min: 0, step, class: "rl-input", placeholder: "any", "data-filter": name,
      oninput: () => set(name, node.value === "" || !(node.valueAsNumber >= 0) ? null : node.valueAsNumber / factor) });
    inputs.set(name, (value) => { if (document.activeElement !== node) node.value = value == null ? "" : +(value * factor).toPrecision(10); });
    return field(name, label, node);
  };
  const check = (name, label) => {
    const node = h("input", { type: "checkbox", "data-filter": name, onchange: () => set(name, node.checked || null) });
    inputs.set(name, (value) => { node.checked = Boolean(value); });
    return h("label", { class: "rl-check" }, node, ` ${label} `, h("small", {}, `known of ${setup.known[name].toLocaleString("en")}`));
  };
  const search = h("input", { type: "search", class: "rl-input", placeholder: "model or host", "data-filter": "search",
    oninput: () => set("search", search.value.trim() || null) });
  inputs.set("search", (value) => { if (document.activeElement !== search) search.value = value ?? ""; });
  const region = h("select", { class: "rl-input", "data-filter": "region", onchange: () => set("region", region.value || null) },
    h("option", { value: "" }, "any"), setup.regions.map((name) => h("option", { value: name }, name)));
  inputs.set("region", (value) => { region.value = value ?? ""; });
  const hide = setup.caveats.map((word) => h("button", { type: "button", class: "rl-btn rl-off-hide", "data-word": word,
    onclick: () => {
      const now = new Set([filters.without ?? []].flat());
      if (!now.delete(word)) now.add(word);
      set("without", now.size ? [...now] : null);
    } }, word));

  const count = h("span", { class: "rl-count", role: "status" });
  const clear = h("button", { type: "button", class: "rl-btn", onclick: () => { filters = {}; ask(); } }, "Clear filters");
  const funnel = h("ol", { class: "rl-off-funnel", "aria-label": "What each filter left" });
  const empty = h("div", { class: "rl-notice", hidden: true });
  const error = h("div", { class: "rl-banner", role: "alert", hidden: true });
  const columns = [["offer_id", "Offer", "name"], ["monthly_usd", "USD a month", "usd"], ["quality", "Quality", "quality"],
    ["latency_p95_s", "p95, s", "latency"], ["uptime", "Uptime", "uptime"], [null, "Region", "region"],
    ["co2e_g_high", "CO₂e, g", "co2e"], [null, "Terms", "terms"], [null, "Caveats", "caveats"]];
  const heads = columns.map(([sort, label]) => h("th", { scope: "col" }, sort
    ? h("button", { type: "button", class: "rl-off-sort", "data-sort": sort, onclick: () => ask({ sort }) }, label) : label));
  const body = h("tbody", {});
  const more = h("div", { class: "rl-muted rl-small" });
  const root = h("div", { class: "rl rl-offers", role: "group", "aria-label": "Offers" },
    h("div", { class: "rl-head" }, h("span", { class: "rl-title" }, "Which offers would you take?"), h("span", { class: "rl-grow" }), count, clear),
    error,
    h("div", { class: "rl-filters" }, field("search", "Search", search), number("max_monthly_usd", "At most, USD a month"),
      setup.measured ? number("min_quality", "Quality at least") : null, number("max_latency_p95_s", "p95 at most, s"),
      number("min_uptime", "Uptime at least, %", 100), number("max_co2e_g", "CO₂e at most, g a request"),
      number("min_context_window", "Context at least, tokens", 1, 1), field("region", "Region", region)),
    h("div", { class: "rl-row rl-off-checks" }, check("no_training", "No training on prompts"), check("no_retention", "No retention"),
      check("open_weights", "Open weights"), hide.length ? h("span", { class: "rl-off-without" }, h("span", { class: "rl-muted" }, "Hide"), hide) : null),
    funnel, empty, h("div", { class: "rl-off-picture" }, stage, tip),
    h("div", { class: "rl-off-scroll", tabindex: "0", role: "region", "aria-label": "Offers that pass" },
      h("table", { class: "rl-off-table" }, h("thead", {}, h("tr", {}, h("th", { scope: "col" }, h("span", { class: "rl-hidden" }, "Choose")), heads)), body)),
    more, setup.provenance ? h("div", { class: "rl-muted rl-small" }, setup.provenance) : null);
  hideSummary(model, el);
  el.append(root);

  function set(name, value) {
    filters = { ...filters };
    if (value === null) delete filters[name];
    else filters[name] = value;
    clearTimeout(timer);
    timer = setTimeout(ask, ASK_MS);
  }

  function ask(extra = {}) {
    clearTimeout(timer);
    clearTimeout(waiting);
    waiting = setTimeout(() => fail(GONE), ANSWER_MS);
    asked = performance.now();
    try {
      model.send({ filters, chosen: [...chosen], ...extra });
    } catch {
      // A closed comm throws; the banner will say so.
    }
  }

  function fail(message) {
    setText(error, message ?? "");
    error.hidden = !message;
  }

  function pick(name) {
    if (!chosen.delete(name)) chosen.add(name);
    ask();
  }

  function point(i) {
    hot.setAttribute("visibility", i === null ? "hidden" : "visible");
    if (i === null) return setText(tip, setup.measured ? "" : "No quality was passed: pass quality= to see cost against quality.");
    const [x, y] = at(i);
    hot.setAttribute("cx", x);
    hot.setAttribute("cy", y);
    return setText(tip, setup.names[i]);
  }

  // Names of the measured models, above the interval of their cheapest offer that passes, clear of one another.
  function label(kept) {
    const cheapest = new Map();
    for (const i of measured(kept)) {
      const best = cheapest.get(setup.models[i]);
      if (best === undefined || setup.x[i] < setup.x[best]) cheapest.set(setup.models[i], i);
    }
    const taken = [];
    names.replaceChildren(...[...cheapest.values()].slice(0, LABELS).map((i) => {
      const name = setup.models[i];
      const half = 3.4 * name.length;
      const x = Math.min(Math.max(at(i)[0], LEFT + half), WIDTH - RIGHT - half);
      const [, middle, high] = setup.y[i];
      let y = py(high ?? middle) - 7;
      while (taken.some((t) => Math.abs(t.x - x) < t.half + half && Math.abs(t.y - y) < 12)) y -= 12;
      if (y < TOP + 8) y = py(setup.y[i][0] ?? middle) + 15;
      taken.push({ x, y, half });
      return s("text", { x, y, "text-anchor": "middle" }, name);
    }));
  }

  function draw() {
    clearTimeout(waiting);
    const view = model.get("view");
    chosen = new Set(view.chosen);
    filters = { ...view.filters };
    for (const [name, put] of inputs) put(filters[name]);
    const hidden = new Set([filters.without ?? []].flat());
    hide.forEach((button) => button.setAttribute("aria-pressed", String(hidden.has(button.dataset.word))));
    clear.disabled = !Object.keys(filters).length;
    const known = measured(view.kept);
    rest.setAttribute("d", view.kept.filter((i) => !setup.y[i]).map(tick).join(""));
    whiskers.setAttribute("d", known.map(whisker).join(""));
    dots.setAttribute("d", known.map(dot).join(""));
    picked.setAttribute("d", view.chosen.map((name) => dot(places.get(name))).join(""));
    label(view.kept);
    setText(count, `${view.kept.length.toLocaleString("en")} of ${plural(setup.names.length, "offer")} pass, ${chosen.size} chosen`);
    funnel.replaceChildren(...view.funnel.map(({ text, left, unknown }) => h("li", {}, `${text}: ${left.toLocaleString("en")} left`,
      unknown ? h("small", {}, ` (${unknown.toLocaleString("en")} not known)`) : null)));
    funnel.hidden = !view.funnel.length;
    setText(empty, view.empty);
    empty.hidden = !view.empty;
    fail(view.error);
    for (const button of root.querySelectorAll(".rl-off-sort")) {
      const on = button.dataset.sort === view.sort;
      if (on) button.parentNode.setAttribute("aria-sort", "other");
      else button.parentNode.removeAttribute("aria-sort");
    }
    drawRows(view);
    point(null);
    root.dataset.took = (performance.now() - asked).toFixed(0);
    root.dataset.serial = view.serial;
  }

  function drawRows(view) {
    const focused = body.contains(document.activeElement) ? document.activeElement.dataset.name : null;
    body.replaceChildren(...view.rows.map((row) => {
      const i = places.get(row.name);
      const box = h("input", { type: "checkbox", "data-name": row.name, "aria-label": `Choose ${row.name}`, onchange: () => pick(row.name) });
      box.checked = chosen.has(row.name);
      const cells = columns.map(([, label, key]) => h("td", { "data-label": label, class: `rl-off-${key}${row[key] === "?" ? " rl-muted" : ""}` }, row[key]));
      return h("tr", { class: box.checked ? "rl-on" : null, onpointerenter: () => point(i), onpointerleave: () => point(null), onfocusin: () => point(i) },
        h("td", {}, box), cells);
    }));
    if (focused !== null) [...body.querySelectorAll("input")].find((box) => box.dataset.name === focused)?.focus({ preventScroll: true });
    const left = view.kept.length - view.rows.length;
    setText(more, left > 0 ? `${left.toLocaleString("en")} more pass; all are in .found` : "");
  }

  function nearest(event) {
    const box = svg.getBoundingClientRect();
    const [x, y] = [((event.clientX - box.left) / box.width) * WIDTH, ((event.clientY - box.top) / box.height) * HEIGHT];
    let [best, least] = [null, 14 ** 2];
    for (const i of model.get("view").kept) {
      const [u, v] = at(i);
      const far = (u - x) ** 2 + (v - y) ** 2;
      if (far < least) [best, least] = [i, far];
    }
    return best;
  }

  stage.addEventListener("pointermove", (event) => point(nearest(event)));
  stage.addEventListener("pointerleave", () => point(null));
  stage.addEventListener("click", (event) => {
    const i = nearest(event);
    if (i !== null) pick(setup.names[i]);
  });
  root.addEventListener("keydown", (event) => event.stopPropagation());
  const lost = () => fail(GONE);
  model.on("change:view", draw);
  model.on("comm_live_update", lost);
  draw();
  return () => {
    clearTimeout(timer);
    clearTimeout(waiting);
    model.off("change:view", draw);
    model.off("comm_live_update", lost);
  };
}

export default { render: explorer };
