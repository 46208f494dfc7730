// IntentLabeler: one prompt, and the intents that its labelled neighbours suggest.

const MANY = 500; // intents that the list to rename shows

// What a hand varies without meaning another name: case, spaces, hyphens, width (as in _intents.py).
function plainName(name) {
  return name.normalize("NFKC").toLowerCase().replace(/[ _\-\t\u00a0]/g, "");
}

// Edits between two names, a swap of neighbours being one (Damerau and Levenshtein), up to `most`.
function edits(a, b, most) {
  if (Math.abs(a.length - b.length) > most) return most + 1;
  let [before, row] = [[], Array.from({ length: b.length + 1 }, (_, j) => j)];
  for (let i = 1; i <= a.length; i += 1) {
    const next = [i];
    for (let j = 1; j <= b.length; j += 1) {
      next[j] = Math.min(row[j] + 1, next[j - 1] + 1, row[j - 1] + (a[i - 1] !== b[j - 1]));
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) next[j] = Math.min(next[j], before[j - 2] + 1);
    }
    [before, row] = [row, next];
  }
  return row[b.length];
}

// Names of the list that `name` may be meant for, the likeliest first; `same` is the one that it surely is.
function near(name, names) {
  const plain = plainName(name);
  const same = names.find((other) => plainName(other) === plain);
  if (same) return { same, close: [same] };
  const most = plain.length < 3 ? 0 : plain.length < 6 ? 1 : plain.length < 12 ? 2 : 3;
  const close = names.map((other) => [edits(plain, plainName(other), most), other]).filter(([far]) => far <= most)
    .sort(([a], [b]) => a - b).slice(0, 4).map(([, other]) => other);
  return { same: null, close };
}

function buildIntents(app) {
  const { model } = app;
  const expand = h("button", { type: "button", class: "rl-btn rl-quiet", "aria-expanded": "false", onclick: () => prompt.toggle() }, "Expand");
  const prompt = promptBox(expand);
  const choices = h("div", { class: "rl-choices" });
  const names = h("datalist", { id: `rl-names-${makeNonce()}` });
  const search = h("input", {
    class: "rl-input", type: "text", list: names.id, maxlength: 200, "aria-label": "Another intent", onkeydown: onSearchKey,
  });
  const asked = h("div", { class: "rl-asked", role: "group", "aria-label": "A name that is not in the list", hidden: true,
    onkeydown: (event) => event.key === "Escape" && unask() });
  const list = h("details", { class: "rl-names", ontoggle: showNames }, h("summary", { "data-lm-suppress-shortcuts": "true" }, "Rename or merge"));
  const nameRows = h("div", { class: "rl-name-rows" });
  list.append(nameRows);
  const hint = h("div", { class: "rl-muted rl-small" });
  const all = app.button("search");
  const card = h("div", { class: "rl-prompt rl-large" },
    h("div", { class: "rl-row" }, h("b", { class: "rl-label" }, "Prompt"), h("span", { class: "rl-grow" }), expand), prompt.node);
  const body = h("div", { class: "rl-body" }, card, choices,
    h("div", { class: "rl-row rl-search" }, all, h("div", { class: "rl-grow" }, search)), asked, names, hint, list);

  function choose(intent) {
    if (intent) app.decide(intent);
  }

  function onSearchKey(event) {
    if (event.isComposing) return;
    const intent = search.value.trim();
    if (event.key === "Escape") return unask();
    if (event.key !== "Enter" || event.repeat || !intent) return;
    event.preventDefault(); // or it presses the button that gets the focus
    if (model.get("state").intents.includes(intent)) take(intent);
    else confirmNew(intent);
  }

  function take(intent) {
    unask();
    choose(intent);
  }

  function unask() {
    search.value = "";
    asked.hidden = true;
    app.focus();
  }

  // A name that is not in the list: what it may be meant for, and only then a new one.
  function confirmNew(intent) {
    const { open, intents } = model.get("state");
    const { same, close } = near(intent, intents);
    const known = close.map((name) => h("button", { type: "button", class: "rl-btn", onclick: () => take(name) }, `Use ${name}`));
    const add = open && !same ? h("button", { type: "button", class: "rl-btn", onclick: () => take(intent) }, `Create ${intent}`) : null;
    const back = h("button", { type: "button", class: "rl-btn rl-quiet", onclick: unask }, "Cancel");
    const said = same ? `“${intent}” is in the list, written “${same}”.`
      : `“${intent}” is not in the list${open ? "" : ", which is closed"}.${close.length ? " Did you mean one of these?" : ""}`;
    const buttons = [...known, ...(add ? [add] : []), back];
    buttons.forEach((node) => node.addEventListener("keydown", (event) => event.repeat && event.preventDefault()));
    asked.replaceChildren(h("span", { role: "alert" }, said), ...buttons);
    asked.hidden = false;
    buttons[0].focus();
  }

  // The whole list with counts: give a name another spelling, or merge it into one that exists.
  function showNames() {
    if (!list.open) return;
    const { intents, counts, open } = model.get("state");
    nameRows.replaceChildren(...intents.slice(0, MANY).map((name, i) => {
      const input = h("input", { class: "rl-input", type: "text", maxlength: 200, list: names.id, "aria-label": `New name of ${name}` });
      const said = h("span", { class: "rl-muted", role: "status" });
      const button = h("button", { type: "button", class: "rl-btn", onclick: () => rename() }, "Rename");
      let sure = false;
      input.value = name;
      input.addEventListener("input", () => { sure = false; setText(said, ""); setText(button, "Rename"); });
      input.addEventListener("keydown", (event) => event.key === "Enter" && !event.isComposing && !event.repeat && rename());
      function rename() {
        const to = input.value.trim();
        if (!to || to === name) return;
        const other = intents.find((known) => known === to) ?? intents.find((known) => known !== name && plainName(known) === plainName(to));
        if (!other && !open) return void setText(said, "The list is closed.");
        if (other && !sure) {
          sure = true;
          setText(said, `${plural(counts[i], "prompt")} of ${name} will be ${other}. This can't be undone.`);
          setText(button, "Merge");
          return;
        }
        model.send({ type: "rename", intent: name, to: other ?? to });
        app.focus();
      }
      return h("div", { class: "rl-row", "data-name": name }, input, h("span", { class: "rl-count" }, plural(counts[i], "prompt")), button, said);
    }));
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
    if (list.open && !list.contains(document.activeElement)) showNames();
  }

  let listed = model.get("state").intents.join();
  function onNames() {
    const now = model.get("state").intents.join();
    if (now === listed) return;
    listed = now;
    asked.hidden = true;
    showChoices();
    showNames();
  }
  model.on("change:state", onNames);

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
