// RaterPage: asks who decides, once; a link with ?rater=name answers for the rater.

export default {
  render({ model, el }) {
    const named = new URLSearchParams(location.search).get("rater");
    const input = h("input", {
      class: "rl-input", type: "text", placeholder: "your name", autocomplete: "username", "aria-describedby": "rl-rater-said",
    });
    const start = h("button", { type: "submit", class: "rl-btn" }, "Start");
    const said = h("p", { class: "rl-rater-said", id: "rl-rater-said", role: "alert" });
    const form = h("form", { class: "rl-rater-form", onsubmit: submit },
      h("label", { class: "rl-field" }, h("b", {}, "Your name"), input), start);
    const root = h("div", { class: "rl rl-rater" }, form, said);
    root.addEventListener("keydown", (event) => event.stopPropagation());
    el.append(root);

    function submit(event) {
      event.preventDefault();
      send(input.value);
    }

    function send(name) {
      start.disabled = true;
      setText(said, "Opening your votes…");
      try {
        model.send({ type: "start", name });
      } catch {
        setText(said, `The kernel does not answer. ${document.body.dataset.voila ? "Reload this page." : "Run this cell again."}`);
      }
    }

    function show() {
      const { text, rater } = model.get("said");
      start.disabled = false;
      setText(said, text ?? "");
      root.hidden = Boolean(rater);
      if (rater && document.body.dataset.voila) { // a reload, or a bookmark, goes on as the same rater
        const url = new URL(location.href);
        url.searchParams.set("rater", rater);
        history.replaceState(null, "", url);
      }
    }

    model.on("change:said", show);
    show();
    if (named && !model.get("said").rater) {
      input.value = named;
      send(named);
    }
    return () => model.off("change:said", show);
  },
};
