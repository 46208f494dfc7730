// PairComparator: two responses side by side, and a verdict.

function ratingsPanel(app) {
  const { model } = app;
  const list = h("div", { class: "rl-ratings" });
  const toggle = app.button("ratings", { "aria-expanded": "false" });
  const body = h("div", { class: "rl-panel", hidden: true }, list);

  function draw() {
    const panel = model.get("panel");
    body.hidden = !panel.open;
    toggle.setAttribute("aria-expanded", String(Boolean(panel.open)));
    const rows = panel.rows ?? [];
    const low = Math.min(...rows.map((row) => row.low));
    const span = Math.max(...rows.map((row) => row.high)) - low || 1;
    const at = (value) => `${(100 * (value - low)) / span}%`;
    list.replaceChildren(
      ...rows.map((row) => {
        const whisker = h("i", { class: "rl-whisker" });
        whisker.style.left = at(row.low);
        whisker.style.width = `${(100 * (row.high - row.low)) / span}%`;
        const dot = h("i", { class: "rl-dot" });
        dot.style.left = at(row.rating);
        const interval = `${Math.round(row.low)} to ${Math.round(row.high)}, ${plural(row.n, "vote")}`;
        return h("div", { class: "rl-rating" }, h("span", { class: "rl-model", title: row.model }, row.model),
          h("span", { class: "rl-track", "aria-hidden": "true" }, whisker, dot),
          h("span", { class: "rl-num" }, `${Math.round(row.rating)} `, h("small", {}, interval)));
      }),
      h("p", { class: "rl-muted" }, panel.text ?? ""),
    );
  }
  model.on("change:panel", draw);
  draw();
  return {
    body,
    button: toggle,
    stop: () => model.off("change:panel", draw),
    toggle: () => model.send({ type: "panel", open: !model.get("panel").open }),
  };
}

function column(side, onscroll) {
  const label = `Response ${side}`;
  const text = h("div", { class: "rl-text", tabindex: "0", role: "region", "aria-label": label, dir: "auto", onscroll });
  const more = h("div", { class: "rl-more", hidden: true });
  const head = h("div", { class: "rl-side", "aria-hidden": "true" }, side);
  const node = h("section", { class: `rl-col rl-${side.toLowerCase()}` }, head, text, more);
  return { node, text, more };
}

// The questions besides the verdict, each a group of radio buttons.
function criteriaRows(app) {
  const { model } = app;
  const scales = {
    verdict: [["left", "A"], ["tie", "Tie"], ["right", "B"]],
    strength: [["-2", "A much better"], ["-1", "A"], ["0", "Equal"], ["1", "B"], ["2", "B much better"]],
  };
  const group = makeNonce();
  const boxes = [];
  const rows = model.get("criteria").map(({ name, scale }, i) => {
    const options = scales[scale].map(([value, text]) => {
      const box = h("input", { type: "radio", name: `rl-${group}-${i}`, value });
      boxes.push({ box, name, value });
      return h("label", { class: "rl-option" }, box, h("span", {}, text));
    });
    return h("fieldset", { class: "rl-criterion" }, h("legend", {}, name), h("div", { class: "rl-options" }, options));
  });
  return {
    body: h("div", { class: "rl-criteria", hidden: !rows.length }, rows),
    get: () => Object.fromEntries(boxes.filter(({ box }) => box.checked).map(({ name, value }) => [name, value])),
    set: (answers) => boxes.forEach(({ box, name, value }) => { box.checked = answers?.[name] === value; }),
  };
}

function buildComparator(app) {
  const { model } = app;
  let card = null;
  let mode = "markdown";
  let locked = true; // scroll together
  let full = false;
  let least = 0;
  let ghost = null; // the column that the other one has just moved
  const columns = { left: column("A", () => follow("left", "right")), right: column("B", () => follow("right", "left")) };
  const both = Object.values(columns);
  const intent = h("span", { class: "rl-chip" });
  const fold = app.button("fold", { "aria-expanded": "false" });
  const prompt = promptBox(fold, () => model.send({ type: "view", id: app.shownId, mode: "prompt", full: true }));
  const raw = app.button("raw", { "aria-pressed": "false" });
  const diff = app.button("diff", { "aria-pressed": "false" });
  const lock = app.button("lock", { "aria-pressed": "false" });
  const tools = h("div", { class: "rl-row" }, h("b", { class: "rl-label" }, "Prompt"), intent,
    h("span", { class: "rl-grow" }), raw, diff, lock, fold);
  const promptCard = h("div", { class: "rl-prompt" }, tools, prompt.node);
  const grid = h("div", { class: "rl-cols" }, columns.left.node, columns.right.node);
  const panel = model.get("ratings") ? ratingsPanel(app) : null;
  const criteria = criteriaRows(app);
  const away = app.button("away", { "aria-pressed": "false" });
  const back = app.button("back");
  const onward = app.button("onward");
  const earlier = h("div", { class: "rl-notice rl-earlier", role: "status", hidden: true });
  const votes = [app.button("left", { kind: "rl-vote rl-a" }), app.button("right", { kind: "rl-vote rl-b" }),
    app.button("tie", { kind: "rl-vote" }), app.button("both_bad", { kind: "rl-vote" })];
  grid.style.setProperty("--rl-height", `min(${model.get("height")}px, 52vh)`);
  // The keys run from left to right, and the order of Tab is that of the picture at every width.
  const verdicts = h("div", { class: "rl-dock" }, criteria.body, h("div", { class: "rl-verdicts" }, votes));
  const body = h("div", { class: "rl-body" }, earlier, promptCard, grid, verdicts);

  function follow(from, to) {
    if (ghost === from) {
      ghost = null;
      return;
    }
    if (!locked) return;
    const [a, b] = [columns[from].text, columns[to].text];
    const top = (a.scrollTop / Math.max(1, a.scrollHeight - a.clientHeight)) * (b.scrollHeight - b.clientHeight);
    if (Math.abs(b.scrollTop - top) > 1) {
      ghost = to;
      b.scrollTop = top;
    }
  }

  function fill(content) {
    for (const [side, { text, more }] of Object.entries(columns)) {
      const value = content[side];
      fillText(text, value);
      text.classList.toggle("rl-plain", content.mode !== "markdown" || !value.html);
      text.classList.toggle("rl-mono", content.mode === "raw");
      if (!value.body) text.replaceChildren(h("em", { class: "rl-muted" }, "The response is empty."));
      more.hidden = !value.note;
      const all = h("button", { type: "button", class: "rl-btn rl-quiet", onclick: showAll }, "Show all");
      more.replaceChildren(h("span", {}, value.note ?? ""), value.cut && !full ? all : "");
    }
    // Grow with the content but do not shrink again: the buttons should stay where the hand expects them.
    least = Math.max(least, ...both.map(({ text }) => text.offsetHeight));
    grid.style.setProperty("--rl-least", `${least}px`);
    // A stop for Tab only where there is something to scroll.
    for (const { text } of both) {
      const scrolls = text.scrollHeight > text.clientHeight + 1;
      if (scrolls || document.activeElement === text) text.tabIndex = 0;
      else text.removeAttribute("tabindex");
    }
  }

  function showAll() {
    full = true;
    ask(mode === "diff" ? "raw" : mode);
    columns.left.text.focus(); // the button is about to go
  }

  function ask(wanted) {
    mode = wanted;
    raw.setAttribute("aria-pressed", String(mode === "raw"));
    diff.setAttribute("aria-pressed", String(mode === "diff"));
    if (mode === "markdown") prompt.show(card.prompt);
    if (mode === "markdown" && !full) fill({ html: true, mode, left: card.left, right: card.right });
    else model.send({ type: "view", id: app.shownId, mode, full });
  }

  return {
    body,
    after: panel?.body,
    tools: [away, back, onward, panel?.button],
    stop: () => panel?.stop(),
    extra: () => ({ criteria: criteria.get(), away: away.getAttribute("aria-pressed") === "true" }),
    restore(given) {
      criteria.set(given.criteria);
      away.setAttribute("aria-pressed", String(Boolean(given.away)));
      for (const button of votes) {
        if (given.choice) button.setAttribute("aria-pressed", String(button.dataset.action === given.choice));
        else button.removeAttribute("aria-pressed");
      }
    },
    status(state) {
      const now = state.earlier;
      onward.hidden = !now;
      back.setAttribute("aria-disabled", String(!state.can_go_back));
      const said = { left: "A is better", right: "B is better", tie: "Tie", both_bad: "Both bad", skip: "Skip" };
      setText(earlier, now ? `Earlier pair ${now.number}. You said: ${said[state.given?.choice]}. Vote to change it.` : "");
      earlier.hidden = !now;
    },
    toggles: {
      raw: () => { full = false; ask(mode === "raw" ? "markdown" : "raw"); },
      diff: () => { full = false; ask(mode === "diff" ? "markdown" : "diff"); },
      lock: () => { locked = !locked; lock.setAttribute("aria-pressed", String(!locked)); },
      fold: prompt.toggle,
      ratings: () => panel?.toggle(),
      away: () => away.setAttribute("aria-pressed", String(away.getAttribute("aria-pressed") !== "true")),
    },
    show(next) {
      card = next;
      full = false;
      prompt.show(card.prompt);
      setText(intent, card.intent ?? "");
      intent.hidden = !card.intent;
      fill({ html: true, mode: "markdown", left: card.left, right: card.right });
      for (const { text } of both) text.scrollTop = 0;
      if (mode !== "markdown") ask(mode);
    },
    message(content) {
      if (content.type !== "view" || content.id !== app.shownId) return;
      if (content.mode !== "prompt" && (content.mode !== mode || content.full !== full)) return;
      if (content.prompt) prompt.show(content.prompt);
      if (content.mode !== "prompt") fill(content);
    },
    // Scrolls both responses from wherever the focus is; at their end, or where they fit, the page itself scrolls.
    key(event, root) {
      const page = columns.left.text.clientHeight * 0.9;
      const steps = { ArrowDown: 60, ArrowUp: -60, PageDown: page, PageUp: -page, Home: -1e9, End: 1e9 };
      const onFrame = event.target === root;
      const step = event.key === " " ? onFrame && (event.shiftKey ? -page : page) : steps[event.key];
      const wanted = onFrame || (event.key.startsWith("Page") && !event.target.closest(".rl-text,.rl-prompt-text"));
      if (!step || !wanted) return;
      const before = both.map(({ text }) => text.scrollTop);
      columns.left.text.scrollTop += step;
      if (!locked || columns.left.text.scrollTop === before[0]) columns.right.text.scrollTop += step;
      if (both.some(({ text }, i) => text.scrollTop !== before[i])) event.preventDefault();
    },
  };
}

export default {
  render(context) {
    let view = null;
    const spec = {
      name: "rl-comparator",
      title: "Which response is better?",
      noun: "Pair",
      actions: (app) => ({
        left: { label: "A is better", run: () => app.decide("left") },
        right: { label: "B is better", run: () => app.decide("right") },
        tie: { label: "Tie", run: () => app.decide("tie") },
        both_bad: { label: "Both bad", run: () => app.decide("both_bad") },
        raw: { label: "Plain text", run: () => view.toggles.raw() },
        diff: { label: "Differences", run: () => view.toggles.diff() },
        lock: { label: "Scroll apart", run: () => view.toggles.lock() },
        fold: { label: "Expand", help: "Open the prompt, or fold it", run: () => view.toggles.fold() },
        away: { label: "Gives itself away", help: "A response says which model wrote it", run: () => view.toggles.away() },
        back: { label: "Back", help: "Look at an earlier vote, and change it", run: () => app.model.send({ type: "back" }) },
        onward: { label: "Onward", help: "From an earlier vote to the next", run: () => app.model.send({ type: "onward" }) },
        ...(app.model.get("ratings") ? { ratings: { label: "Ratings so far", run: () => view.toggles.ratings() } } : {}),
      }),
      build: (app) => (view = buildComparator(app)),
    };
    const stop = labeler(context, spec);
    return () => {
      stop();
      view.stop();
    };
  },
};
