// LabelingDashboard: Python writes the figures as HTML, the page sorts its tables and asks for new ones.

function dashboard({ model, el }) {
  const body = h("div");
  const error = h("div", { class: "rl-banner", role: "alert", hidden: true });
  const when = h("span", { class: "rl-count", role: "status" });
  const again = h("button", { type: "button", class: "rl-btn", "aria-keyshortcuts": "r", onclick: refresh }, "Refresh",
    h("kbd", { "aria-hidden": "true" }, "r"));
  const root = h("div", { class: "rl rl-dashboard", role: "group", "aria-label": "How labeling goes", tabindex: "0" },
    h("div", { class: "rl-head" }, h("span", { class: "rl-title" }, "How labeling goes"), h("span", { class: "rl-grow" }), when, again),
    error, body);
  const line = asking(model, root, fail);
  hideSummary(model, el);
  el.append(root);

  function refresh() {
    line.ask({ type: "refresh" });
  }

  function fail(message) {
    const said = message || model.get("error");
    if (error.textContent !== said) setText(error, said);
    error.hidden = !said;
    if (!message) setText(when, `As of ${new Date().toLocaleTimeString("en", { hour12: false })}`);
  }

  function draw() {
    body.innerHTML = model.get("html"); // written in Python, where every text is escaped
    for (const table of body.querySelectorAll(".rl-table")) {
      [...table.tHead.rows[0].cells].forEach((head, i) => {
        const name = head.textContent;
        head.replaceChildren(h("button", { type: "button", class: "rl-sort", onclick: () => sort(table, i) }, name));
      });
    }
  }

  function sort(table, i) {
    const heads = [...table.tHead.rows[0].cells];
    const down = heads[i].getAttribute("aria-sort") !== "descending";
    const key = (row) => row.cells[i].dataset.by;
    const rows = [...table.tBodies[0].rows].sort((a, b) => {
      const [x, y] = [key(a), key(b)];
      const far = Number(x) - Number(y);
      return (down ? -1 : 1) * (Number.isNaN(far) || x === "" || y === "" ? x.localeCompare(y, "en", { numeric: true }) : far);
    });
    table.tBodies[0].replaceChildren(...rows);
    heads.forEach((head, k) => {
      if (k === i) head.setAttribute("aria-sort", down ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
    });
  }

  function onKey(event) {
    event.stopPropagation();
    if (event.key === "r" && !event.repeat && !event.ctrlKey && !event.metaKey && !event.altKey) refresh();
  }

  const said = () => fail("");
  root.addEventListener("keydown", onKey);
  model.on("change:html", draw);
  model.on("change:error", said);
  draw();
  fail("");
  return () => {
    line.stop();
    model.off("change:html", draw);
    model.off("change:error", said);
  };
}

export default { render: dashboard };
