// IntentLabeler: one prompt, and the intents that its labelled neighbours suggest.

function buildIntents(app) {
  const { model } = app;
  const expand = h("button", { type: "button", class: "rl-btn rl-quiet", "aria-expanded": "false", onclick: () => prompt.toggle() }, "Expand");
  const prompt = promptBox(expand);
  const choices = h("div", { class: "rl-choices" });
  const names = h("datalist", { id: `rl-names-${makeNonce()}` });
  const search = h("input", {
    class: "rl-input", type: "text", list: names.id, maxlength: 200, "aria-label": "Another intent", onkeydown: onSearchKey,
  });
  const hint = h("div", { class: "rl-muted rl-small" });
  const all = app.button("search");
  const card = h("div", { class: "rl-prompt rl-large" },
    h("div", { class: "rl-row" }, h("b", { class: "rl-label" }, "Prompt"), h("span", { class: "rl-grow" }), expand), prompt.node);
  const body = h("div", { class: "rl-body" }, card, choices,
    h("div", { class: "rl-row rl-search" }, all, h("div", { class: "rl-grow" }, search)), names, hint);

  function choose(intent) {
    if (intent) app.decide(intent);
  }

  function onSearchKey(event) {
    if (event.isComposing) return;
    const { open, intents } = model.get("state");
    const intent = search.value.trim();
    if (event.key === "Enter" && !open && !intents.includes(intent)) return setText(hint, "Choose one of the list.");
    if (event.key === "Enter") choose(intent);
    if (event.key === "Enter" || event.key === "Escape") {
      search.value = "";
      app.focus();
    }
  }

  function showChoices() {
    const { suggestions, intents } = model.get("state");
    choices.replaceChildren(...suggestions.map(({ intent, share }, i) => {
      const key = model.get("bindings")[`pick${i + 1}`];
      const fill = h("i", { class: "rl-share" });
      fill.style.width = `${100 * share}%`;
      const props = { type: "button", class: "rl-btn rl-choice", "aria-keyshortcuts": key, onclick: () => choose(intent) };
      const cap = key ? h("kbd", { "aria-hidden": "true" }, key) : null;
      return h("button", props, fill, cap, h("span", { class: "rl-name" }, intent.replaceAll("_", " ")),
        share ? h("small", {}, `${Math.round(100 * share)}%`) : null);
    }));
    names.replaceChildren(...intents.map((intent) => h("option", { value: intent, label: visible(intent) === intent ? null : intent })));
    search.placeholder = `Another intent${model.get("state").open ? ", or a new one" : ""}; Enter to give it`;
    setText(hint, model.get("state").hint ?? "");
  }

  return {
    body,
    pick: (i) => choose(model.get("state").suggestions[i]?.intent),
    search: () => search.focus(),
    show(next) {
      prompt.show({ ...next, body: next.prompt });
      showChoices();
    },
  };
}

export default {
  render(context) {
    let view = null;
    const picks = (app) => Object.fromEntries(Array.from({ length: 9 }, (_, i) => [`pick${i + 1}`, {
      label: "", help: i ? "" : "to 9: the intent next to the key", run: () => view.pick(i),
    }]));
    return labeler(context, {
      name: "rl-intents",
      title: "What does the prompt ask for?",
      noun: "Prompt",
      actions: (app) => ({ ...picks(app), search: { label: "All intents", run: () => view.search() } }),
      build: (app) => (view = buildIntents(app)),
    });
  },
};
