// EvidencePlot: a frontier of which a part can be selected, and intents that can. Python says where everything stands,
// what it is called and what is selected; the page draws it, and asks.

const SVG = "http://www.w3.org/2000/svg";
const [WIDTH, HEIGHT, LEFT, BOTTOM, TOP, RIGHT] = [640, 300, 58, 44, 10, 12];
const FAR = 10; // points that an end moves with Shift

function s(tag, props, ...children) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(props)) node.setAttribute(name, value);
  node.append(...children.map((child) => (child instanceof Node ? child : visible(child))));
  return node;
}

const px = (fraction) => LEFT + fraction * (WIDTH - LEFT - RIGHT);
const py = (fraction) => HEIGHT - BOTTOM - fraction * (HEIGHT - BOTTOM - TOP);

function drawCurve({ x, y, low, high, xticks, yticks, xlabel, ylabel }) {
  const line = (ys) => x.map((at, i) => `${px(at).toFixed(1)},${py(ys[i]).toFixed(1)}`);
  const [right, floor] = [WIDTH - RIGHT, HEIGHT - BOTTOM];
  const region = s("rect", { class: "rl-region", y: TOP, height: floor - TOP, width: 0 });
  const part = s("polyline", { class: "rl-part", points: "" });
  const svg = s("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: "rl-svg", "aria-hidden": "true" },
    ...yticks.map(({ at, label }) => s("g", {}, s("line", { class: "rl-grid", x1: LEFT, x2: right, y1: py(at), y2: py(at) }),
      s("text", { x: LEFT - 8, y: py(at) + 4, "text-anchor": "end" }, label))),
    ...xticks.map(({ at, label }) => s("g", {}, s("line", { class: "rl-axis", x1: px(at), x2: px(at), y1: floor, y2: floor + 5 }),
      s("text", { x: px(at), y: floor + 18, "text-anchor": "middle" }, label))),
    s("line", { class: "rl-axis", x1: LEFT, x2: right, y1: floor, y2: floor }),
    s("text", { class: "rl-axis-name", x: (LEFT + right) / 2, y: HEIGHT - 6, "text-anchor": "middle" }, xlabel),
    s("text", { class: "rl-axis-name", transform: `translate(14 ${(TOP + floor) / 2}) rotate(-90)`, "text-anchor": "middle" }, ylabel),
    region, s("polygon", { class: "rl-band", points: [...line(low), ...line(high).reverse()].join(" ") }),
    s("polyline", { class: "rl-curve", points: line(y).join(" ") }), part);
  return { svg, region, part, line: line(y) };
}

function evidence({ model, el }) {
  const curve = model.get("curve");
  const n = curve.x?.length ?? 0;
  let ends = null; // the two ends as positions among the points, the dearer one first
  let exact = null; // what Python says of them: a selection from Python may end between two points that are drawn
  let chosen = [];
  let drag = null;
  let waiting = null; // timer of keys that Python has not been told of

  const drawn = n ? drawCurve(curve) : null;
  const thumbs = n ? ["Dearer end", "Cheaper end"].map((label, k) => h("div", {
    class: "rl-thumb", role: "slider", tabindex: "0", "aria-label": `${label} of the selected part`, "aria-valuemin": 0,
    "aria-valuemax": n - 1, "aria-orientation": "horizontal", onkeydown: (event) => step(event, k),
  })) : [];
  const stage = h("div", { class: "rl-stage" }, drawn ? [drawn.svg, ...thumbs] : []);
  const bars = h("div", { class: "rl-bars", role: "group", "aria-label": "Intents" });
  const heads = h("div", { class: "rl-bars-head" }, h("span", {}, "Intent"), h("span", {}, "Change of quality, points"),
    h("span", {}, "Changed"));
  const where = h("div", { class: "rl-where" });
  const text = h("div", { class: "rl-said", role: "status" });
  const note = h("div", { class: "rl-muted rl-small" });
  const error = h("div", { class: "rl-banner", role: "alert", hidden: true });
  const clear = h("button", { type: "button", class: "rl-btn", onclick: () => ask(null, []) }, "Clear");
  const hint = n ? "Drag across the curve, or move its ends with the arrow keys" : "Choose an intent";
  const root = h("div", { class: "rl rl-evidence", role: "group", "aria-label": "Which prompts decide it?" },
    h("div", { class: "rl-head" }, h("span", { class: "rl-title" }, "Which prompts decide it?"),
      h("span", { class: "rl-muted rl-small" }, hint), h("span", { class: "rl-grow" }), clear),
    error, h("div", { class: `rl-plots${n && model.get("bars").length ? "" : " rl-single"}` },
      n ? h("div", {}, stage, where) : null, h("div", { class: "rl-intents-plot" }, heads, bars)),
    text, note);
  const line = asking(model, root, (message) => fail(message || model.get("picked").error));
  hideSummary(model, el);
  el.append(root);

  // The whole curve while nothing is selected: there the ends wait to be moved.
  function shownEnds() {
    return ends ?? [0, n - 1];
  }

  function nearest(event) {
    const box = drawn.svg.getBoundingClientRect();
    const at = ((event.clientX - box.left) / box.width) * WIDTH;
    let best = 0;
    curve.x.forEach((x, i) => { if (Math.abs(px(x) - at) < Math.abs(px(curve.x[best]) - at)) best = i; });
    return best;
  }

  function step(event, k) {
    const by = (event.shiftKey ? FAR : 1);
    const moves = { ArrowLeft: by, ArrowDown: by, ArrowRight: -by, ArrowUp: -by, PageDown: FAR, PageUp: -FAR, Home: n, End: -n };
    if (!(event.key in moves) || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    const moved = [...shownEnds()];
    // One end can't pass the other.
    const [least, most] = k === 0 ? [0, moved[1]] : [moved[0], n - 1];
    moved[k] = Math.min(most, Math.max(least, moved[k] + moves[event.key]));
    [ends, exact] = [moved, null];
    draw();
    clearTimeout(waiting);
    waiting = setTimeout(() => ask(ends, chosen), 150); // a key held down asks once
  }

  function ask(wanted, intents) {
    clearTimeout(waiting);
    waiting = null;
    [ends, exact] = [wanted, wanted === ends ? exact : null];
    chosen = intents;
    draw();
    line.ask({ ends, intents });
  }

  function fail(message) {
    setText(error, message ?? "");
    error.hidden = !message;
  }

  function draw() {
    clear.disabled = !ends && !chosen.length;
    [...bars.children].forEach((row) => row.setAttribute("aria-pressed", String(chosen.includes(Number(row.dataset.i)))));
    if (!n) return;
    const at = shownEnds();
    const [right, left] = at.map((i) => px(curve.x[i]));
    const said = at.map((i, k) => (ends && exact?.[k]) || curve.said[i]);
    drawn.region.setAttribute("x", Math.min(left, right));
    drawn.region.setAttribute("width", ends ? Math.abs(right - left) : 0);
    drawn.part.setAttribute("points", ends ? drawn.line.slice(at[0], at[1] + 1).join(" ") : "");
    thumbs.forEach((thumb, k) => {
      thumb.style.left = `${(100 * px(curve.x[at[k]])) / WIDTH}%`;
      thumb.style.top = `${(100 * py(curve.y[at[k]])) / HEIGHT}%`;
      thumb.classList.toggle("rl-on", Boolean(ends));
      thumb.setAttribute("aria-valuenow", n - 1 - at[k]); // grows with the cost
      thumb.setAttribute("aria-valuetext", said[k]);
    });
    setText(where, ends ? `From ${said[0]}, to ${said[1]}` : `${said[0]} to ${said[1]}`);
  }

  function drawBars() {
    const rows = model.get("bars").map(({ id, name, at: [zero, low, mid, high], known, said, count }) => {
      const mark = (kind, left, width) => {
        const node = h("i", { class: kind });
        node.style.left = `${100 * left}%`;
        if (width !== undefined) node.style.width = `${100 * width}%`;
        return node;
      };
      const track = h("span", { class: "rl-track", "aria-hidden": "true" }, mark("rl-zero", zero),
        known ? mark("rl-whisker", low, high - low) : null, mark(`rl-dot${known ? "" : " rl-few"}`, mid));
      return h("button", { type: "button", class: "rl-bar-row", "data-i": id, onclick: () => toggle(id) },
        h("span", { class: "rl-model", title: name }, name), track, h("span", { class: "rl-num" }, said),
        h("span", { class: "rl-num rl-muted" }, count));
    });
    const focused = bars.contains(document.activeElement) ? document.activeElement.dataset.i : null;
    bars.replaceChildren(...rows);
    if (focused !== null) bars.querySelector(`[data-i="${focused}"]`)?.focus();
    heads.hidden = !rows.length;
    draw();
  }

  function toggle(i) {
    ask(ends, chosen.length === 1 && chosen[0] === i ? [] : [i]);
  }

  function answered() {
    const picked = model.get("picked");
    if (!waiting && !drag) [ends, exact, chosen] = [picked.ends, picked.said, picked.intents]; // or the answer is to an earlier move
    fail(picked.error);
    setText(text, picked.text);
    setText(note, picked.note ?? "");
    note.hidden = !picked.note;
    draw();
  }

  if (n) {
    stage.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      const k = thumbs.indexOf(event.target);
      drag = { fixed: k < 0 ? nearest(event) : shownEnds()[1 - k], moved: k >= 0 };
      stage.setPointerCapture(event.pointerId);
      event.preventDefault();
      (k < 0 ? thumbs[1] : thumbs[k]).focus({ preventScroll: true });
    });
    stage.addEventListener("pointermove", (event) => {
      if (!drag) return;
      const other = nearest(event);
      drag.moved ||= other !== drag.fixed;
      [ends, exact] = [[Math.min(drag.fixed, other), Math.max(drag.fixed, other)], null];
      draw();
    });
    stage.addEventListener("pointerup", () => {
      const moved = drag?.moved;
      drag = null;
      if (moved) ask(ends, chosen);
      else answered(); // a click selects nothing: back to what is selected
    });
    stage.addEventListener("pointercancel", () => { drag = null; answered(); });
  }
  root.addEventListener("keydown", (event) => event.stopPropagation());
  model.on("change:bars", drawBars);
  model.on("change:picked", answered);
  drawBars();
  answered();
  return () => {
    line.stop();
    clearTimeout(waiting);
    model.off("change:bars", drawBars);
    model.off("change:picked", answered);
  };
}

export default { render: evidence };
