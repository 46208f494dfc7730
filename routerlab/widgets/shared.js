// What the widgets share: building elements, the outbox of unacknowledged decisions, keys, banner and frame.
// Each widget's module is this file followed by its own, so there is no import and no build step.
// A model's text enters the page as textContent, or as HTML that Python has rendered and sanitised.

const ANSWER_MS = 1500; // no answer for this long: say so
const QUIET_MS = 10000; // after this long without a word, ask whether the kernel is there
const GUARD_MS = 250; // a press this soon after a pair appears was meant for the one before

// Characters that show nothing become signs, in names and notes as in texts (see markup.py). What is at work stays:
// joiners and variants of emoji and letters.
const JOINED = ["Arabic", "Syriac", "Mongolian", "Devanagari", "Bengali", "Gurmukhi", "Gujarati", "Oriya", "Tamil", "Telugu",
  "Kannada", "Malayalam", "Sinhala", "Myanmar", "Khmer", "Tibetan"].map((name) => `\\p{Script=${name}}`).join("");
const HIDDEN = new RegExp(
  String.raw`(?:(?<=\p{Extended_Pictographic})[\uFE0E\uFE0F]|(?<=[0-9#*])\uFE0F(?=\u20E3)`
  + String.raw`|(?<=[\p{Extended_Pictographic}\p{Emoji_Modifier}\uFE0F])\u200D(?=\p{Extended_Pictographic})`
  + `|(?<=[${JOINED}])[\\u200C\\u200D](?=[${JOINED}])`
  + String.raw`|(?<=\p{Script=Mongolian})[\u180B-\u180D\u180F]|(?<=\p{Script=Han})[\uFE00-\uFE0F\u{E0100}-\u{E01EF}])`
  + String.raw`|((?![\t\n])[\p{Default_Ignorable_Code_Point}\p{Cc}\p{Zl}\p{Zp}\p{Cs}\uFFF9-\uFFFB])`, "gu");

function visible(text) {
  return String(text).replace(/\r\n?/g, "\n").replace(HIDDEN, (char, hidden) => {
    if (hidden === undefined) return char;
    const code = hidden.codePointAt(0);
    return code < 0x20 ? String.fromCharCode(0x2400 + code) : `⟦U+${code.toString(16).toUpperCase().padStart(4, "0")}⟧`;
  });
}

const READ = ["title", "aria-label", "placeholder", "label"]; // attributes that are read

function h(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : READ.includes(name) ? visible(value) : value);
  }
  const given = children.flat().filter((child) => child !== null && child !== undefined && child !== false);
  node.append(...given.map((child) => (child instanceof Node ? child : visible(child))));
  if (node.classList.contains("rl")) node.classList.add("mathjax_ignore", "tex2jax_ignore"); // "$5 or $10" is not a formula
  // Jupyter's own shortcuts (x deletes a cell) heed this attribute on the focused element only, not on a parent.
  if (node.matches("button,input,select,textarea,summary,[tabindex]")) node.dataset.lmSuppressShortcuts = "true";
  return node;
}

function setText(node, text) {
  const shown = visible(text);
  if (node.textContent !== shown) node.textContent = shown;
}

// What is wider than its place can be scrolled with the keyboard as well.
const scrollers = new ResizeObserver((entries) => entries.forEach(({ target }) => {
  const label = target.matches("pre") ? "Code" : target.querySelector("table") ? "Table" : "Formula";
  const wide = target.scrollWidth > target.clientWidth;
  for (const [name, value] of Object.entries({ tabindex: "0", role: "region", "aria-label": label })) {
    if (wide) target.setAttribute(name, value);
    else target.removeAttribute(name);
  }
}));

// Put a text from Python in its place: as HTML, which was rendered and sanitised there, or as it is.
function fillText(node, { body, html }) {
  if (html) node.innerHTML = body;
  else node.textContent = body;
  for (const part of node.querySelectorAll("summary,.rl-scroll,pre")) {
    part.dataset.lmSuppressShortcuts = "true"; // a browser may focus whatever scrolls
    if (!part.matches("summary")) scrollers.observe(part);
  }
}

// A prompt: a few lines with a shadow where more lies below, Expand to open it, and a way to the rest of what was cut.
function promptBox(expand, whole) {
  const text = h("div", { class: "rl-prompt-text", dir: "auto", tabindex: "0", role: "region", "aria-label": "Prompt" });
  const said = h("span");
  const all = h("button", { type: "button", class: "rl-btn rl-quiet", onclick: whole }, "Show all");
  const more = h("div", { class: "rl-more", hidden: true }, said, all);
  const node = h("div", { class: "rl-prompt-box" }, text, more);
  let open = false;
  const measure = () => {
    const below = text.scrollHeight - text.clientHeight - text.scrollTop;
    expand.hidden = !open && text.scrollHeight <= text.clientHeight + 1;
    text.classList.toggle("rl-below", below > 2);
  };
  new ResizeObserver(measure).observe(text);
  for (const event of ["scroll", "toggle"]) text.addEventListener(event, measure, true);
  return {
    node,
    text,
    show(shown) {
      fillText(text, shown);
      text.classList.toggle("rl-rich", Boolean(shown.html));
      node.hidden = !shown.body;
      setText(said, shown.note ?? "");
      more.hidden = !shown.note;
      all.hidden = !shown.cut;
      text.scrollTop = 0;
      measure();
    },
    toggle() {
      open = !open;
      node.classList.toggle("rl-open", open);
      expand.setAttribute("aria-expanded", String(open));
      measure();
    },
  };
}

function plural(n, noun) {
  return `${n.toLocaleString("en")} ${noun}${n === 1 ? "" : "s"}`;
}

function makeNonce() {
  return Array.from(crypto.getRandomValues(new Uint8Array(12)), (b) => b.toString(16).padStart(2, "0")).join("");
}

// Decisions that Python has not acknowledged. localStorage keeps them through a reload and a dead kernel; the nonce
// makes it harmless to send one twice.
class Outbox {
  static memory = new Map(); // where localStorage is forbidden

  constructor(model) {
    this.model = model;
    this.key = model.get("state").store;
  }

  get items() {
    try {
      return JSON.parse(localStorage.getItem(this.key)) ?? [];
    } catch {
      return Outbox.memory.get(this.key) ?? [];
    }
  }

  set items(items) {
    try {
      if (items.length) localStorage.setItem(this.key, JSON.stringify(items));
      else localStorage.removeItem(this.key);
    } catch {
      Outbox.memory.set(this.key, items);
    }
  }

  has(id) {
    return this.items.some((item) => item.id === id);
  }

  put(item) {
    this.items = [...this.items.filter((other) => other.id !== item.id), item];
    this.send(item);
  }

  resend() {
    this.items.forEach((item) => this.send(item));
  }

  send(item) {
    try {
      this.model.send(item);
    } catch {
      // A closed comm throws. The item stays in the outbox, and the banner says so.
    }
  }

  settle(acks) {
    const left = this.items.filter((item) => !acks.includes(item.nonce));
    if (left.length !== this.items.length) this.items = left;
  }
}

// The frame around a widget that collects decisions. `spec` gives its title, its noun ("pair"), what its keys do
// (`actions`: name -> {label, run}) and `build(app)`, which returns {body, show(card, id), message?(content)}.
function labeler({ model, el }, spec) {
  const outbox = new Outbox(model);
  const app = { model, decide, focus, button, shownId: null };
  let shownAt = 0;
  let silent = false; // the kernel is gone, or did not answer in time
  let heardAt = performance.now();
  let waiting = null; // nonce of an undo on its way
  let probing = false; // asked whether the kernel is there
  let timer = null; // runs while an answer is due
  let keysOn = true;

  const live = h("div", { class: "rl-hidden", "aria-live": "polite" });
  const banner = h("div", { class: "rl-banner", role: "alert", hidden: true });
  const notice = h("div", { class: "rl-notice", role: "status", hidden: true });
  const count = h("span", { class: "rl-count" });
  const fill = h("div", { class: "rl-fill" });
  const bar = h("div", { class: "rl-bar", role: "progressbar", "aria-label": "Progress", "aria-valuemin": 0 }, fill);
  const last = h("div", { class: "rl-last" });
  const help = h("div", { class: "rl-help", id: `rl-${makeNonce()}`, role: "region", "aria-label": "Keys", hidden: true });
  const helpButton = button("help", { "aria-expanded": "false", "aria-controls": help.id });
  const noteInput = h("input", {
    class: "rl-input", type: "text", maxlength: 2000, "aria-label": "Note",
    placeholder: "Why? Saved with your next vote. Enter to keep, Esc to discard.",
  });
  const noteRow = h("div", { class: "rl-note", hidden: true }, noteInput);
  const noteButton = button("note");
  const undoButton = button("undo");
  const view = spec.build(app);
  const finished = h("div", { class: "rl-finished", hidden: true });
  const rules = h("div", { class: "rl-rich" });
  fillText(rules, { body: model.get("guidelines") ?? "", html: true });
  const guidelines = h("details", { class: "rl-guidelines", open: true, hidden: !rules.innerHTML }, h("summary", {}, "Guidelines"), rules);
  const root = h(
    "div",
    { class: `rl ${spec.name}`, tabindex: "0", role: "group", "aria-label": spec.title },
    h("div", { class: "rl-head" }, h("span", { class: "rl-title" }, spec.title),
      h("span", { class: "rl-hint" }, "Click here to use the keys"), h("span", { class: "rl-grow" }), count, bar, helpButton),
    help, banner, notice, guidelines, view.body, finished, noteRow,
    h("div", { class: "rl-foot" }, last, h("span", { class: "rl-grow" }), button("skip"), noteButton, undoButton, view.tool),
    view.after, live,
  );
  el.append(root);

  function keyOf(name) {
    return keysOn ? model.get("bindings")[name] : undefined;
  }

  function button(name, { kind = "rl-quiet", ...props } = {}) {
    const key = model.get("bindings")[name];
    const fixed = { type: "button", class: `rl-btn ${kind}`, "data-action": name, "aria-keyshortcuts": key };
    return h("button", { ...fixed, onclick: () => act(name), ...props },
      actions()[name].label, key ? h("kbd", { "aria-hidden": "true" }, key) : null);
  }

  function actions() {
    return {
      ...spec.actions(app),
      skip: { label: "Skip", run: () => decide(null) },
      undo: { label: "Undo", run: undo },
      note: { label: "Note", run: openNote },
      help: { label: "Keys", run: toggleHelp },
    };
  }

  function act(name) {
    actions()[name].run();
  }

  function failed() {
    return model.get("state").error;
  }

  // The first item offered that waits for a decision. Not before the previous decision is acknowledged, unless the
  // kernel is away: then the rater may go on with what the page already holds.
  function current() {
    const { item, ahead } = model.get("state");
    if (!silent) return item;
    return [item, ...ahead].find((id) => id && !outbox.has(id) && model.get("cards")[id]) ?? null;
  }

  function decide(choice) {
    const id = app.shownId;
    const seconds = (performance.now() - shownAt) / 1000;
    if (!id || waiting || seconds * 1000 < GUARD_MS) return;
    if (outbox.items.length && !silent && !(failed() && outbox.has(id))) {
      if (timer === null) resend(); // left behind by another page on the same log
      return;
    }
    const note = noteInput.value.trim() || null;
    const type = choice === null ? "skip" : "vote";
    outbox.put({ type, nonce: makeNonce(), id, choice, note, seconds: Math.round(seconds * 100) / 100 });
    noteInput.value = "";
    noteRow.hidden = true;
    expectAnswer();
    focus();
    update();
  }

  function undo() {
    if (waiting || outbox.items.length || !model.get("state").can_undo) return;
    waiting = makeNonce();
    outbox.send({ type: "undo", nonce: waiting });
    expectAnswer();
    focus();
  }

  function expectAnswer() {
    clearTimeout(timer);
    timer = setTimeout(() => {
      timer = null;
      silent = Boolean(outbox.items.length || waiting || probing);
      waiting = null;
      update();
    }, ANSWER_MS);
  }

  // Jupyter marks widgets of a restarted kernel but shows nothing. Believe it, and ask: a kernel that lives will answer.
  function lost() {
    silent = true;
    update();
    outbox.send({ type: "ping" });
  }

  function ask() {
    if (silent || performance.now() - heardAt < QUIET_MS) return;
    heardAt = performance.now();
    probing = true;
    outbox.send({ type: "ping" });
    expectAnswer();
  }

  function heard() {
    const wasSilent = silent;
    heardAt = performance.now();
    silent = probing = false;
    waiting = null;
    if (!outbox.items.length || failed()) {
      clearTimeout(timer);
      timer = null;
    } else if (wasSilent) resend();
    update();
  }

  function resend() {
    silent = false;
    outbox.resend();
    expectAnswer();
    update();
  }

  function openNote() {
    noteRow.hidden = !noteRow.hidden;
    if (noteRow.hidden) focus();
    else noteInput.focus();
  }

  function toggleHelp() {
    help.hidden = !help.hidden;
    helpButton.setAttribute("aria-expanded", String(!help.hidden));
    const keys = model.get("bindings");
    const rows = Object.entries(actions()).map(([name, { label, help: text = label }]) => [keys[name], text]);
    const shown = rows.filter(([key, text]) => key && text);
    const box = h("input", { type: "checkbox", onchange: () => {
      keysOn = box.checked;
      root.classList.toggle("rl-nokeys", !keysOn);
    } });
    box.checked = keysOn;
    help.replaceChildren(
      h("dl", {}, shown.map(([key, text]) => h("div", {}, h("dt", {}, h("kbd", {}, key)), h("dd", {}, text)))),
      h("label", {}, box, " Single keys act while this box has the focus"),
    );
  }

  function focus() {
    root.focus({ preventScroll: true });
  }

  function showBanner() {
    const n = outbox.items.length;
    const kept = n ? ` ${plural(n, "decision")} not saved yet, kept in this page.` : "";
    let text = "";
    if (silent) {
      text = `The kernel does not answer: it stopped, restarted or is busy.${kept} `
        + "Run this cell again to go on; what waits is then saved, once.";
    } else if (failed()) text = `${failed()}${kept}`;
    if (text && banner.dataset.text !== text) { // an alert that is set again is read out again
      const retry = n ? h("button", { type: "button", class: "rl-btn", onclick: resend }, "Try again") : "";
      banner.replaceChildren(h("span", {}, text), retry);
    }
    banner.dataset.text = text;
    banner.hidden = !text;
    setText(notice, model.get("state").notice ?? "");
    notice.hidden = !notice.textContent;
  }

  function showProgress() {
    const { done, total, last: latest, selected } = model.get("state");
    const shown = Math.min(done, total);
    const waits = silent || failed() ? outbox.items.length : 0;
    const scope = selected ? " in the selection" : "";
    setText(count, `${shown.toLocaleString("en")} of ${total.toLocaleString("en")}${scope}`);
    bar.setAttribute("aria-valuemax", total);
    bar.setAttribute("aria-valuenow", shown);
    fill.style.width = `${total ? (100 * shown) / total : 0}%`;
    if (waits) last.replaceChildren(h("span", { class: "rl-waits" }, `${waits} not saved yet`));
    else if (latest) {
      const tick = h("span", { class: "rl-tick", "aria-hidden": "true" }, "✓");
      const words = latest.words ? h("span", { class: "rl-muted" }, latest.words) : "";
      last.replaceChildren(tick, h("span", {}, latest.text), words, ...(latest.reveal ?? []).map(revealed));
    }
    undoButton.setAttribute("aria-disabled", String(!model.get("state").can_undo));
    noteButton.classList.toggle("rl-on", Boolean(noteInput.value.trim()));
  }

  function revealed({ side, model: name, detail }) {
    const text = [h("b", {}, side), ` ${name}`, detail ? h("small", {}, ` ${detail}`) : null];
    return h("span", { class: `rl-reveal rl-${side.toLowerCase()}` }, text);
  }

  function update() {
    const state = model.get("state");
    showBanner();
    showProgress();
    const id = current();
    const card = id ? model.get("cards")[id] : null;
    root.setAttribute("aria-busy", String(Boolean(outbox.items.length) && !silent && !failed()));
    if (id && !card) return; // its text is on the way
    finished.hidden = Boolean(card);
    view.body.hidden = !card;
    if (!card) {
      app.shownId = null;
      const later = { title: "Waiting for the kernel", text: "All that this page holds is decided." };
      const { title, text } = state.item ? later : state.finished;
      finished.replaceChildren(h("b", {}, title), h("p", {}, text));
    } else if (app.shownId !== id) {
      app.shownId = id;
      view.show(card, id);
      shownAt = performance.now();
      if (root.contains(document.activeElement)) focus();
      setText(live, `${state.last ? `${state.last.text}. ` : ""}${spec.noun} ${state.done + 1} of ${state.total}`);
    }
  }

  function onState() {
    outbox.settle(model.get("state").acks);
    heard();
  }

  function onKey(event) {
    const typing = event.target.matches("input:not([type=checkbox]),select,textarea");
    if (event.target === noteInput && (event.key === "Enter" || event.key === "Escape") && !event.isComposing) {
      if (event.key === "Escape") noteInput.value = "";
      noteRow.hidden = true;
      focus();
      showProgress();
      event.preventDefault();
    }
    if (!isSave(event)) event.stopPropagation();
    if (event.key === "Enter" && (event.shiftKey || event.ctrlKey || event.metaKey)) event.preventDefault(); // no press
    if (typing || event.defaultPrevented || event.isComposing || event.ctrlKey || event.metaKey || event.altKey) return;
    const name = Object.keys(actions()).find((action) => [event.key, event.key.toLowerCase()].includes(keyOf(action)));
    if (name) {
      event.preventDefault();
      if (!event.repeat) act(name);
    } else view.key?.(event, root);
  }

  // Saving the notebook is the one shortcut of Jupyter that should go on working from here.
  function isSave(event) {
    return event.key.toLowerCase() === "s" && (event.ctrlKey || event.metaKey);
  }

  function onSave(event) {
    const target = event.target;
    if (!root.contains(target) || !isSave(event)) return;
    delete target.dataset.lmSuppressShortcuts;
    setTimeout(() => { target.dataset.lmSuppressShortcuts = "true"; });
  }

  function onMessage(content) {
    heard();
    view.message?.(content);
  }

  root.addEventListener("keydown", onKey);
  window.addEventListener("keydown", onSave, true);
  root.addEventListener("mouseup", (event) => {
    if (!event.target.closest("button,input,select,textarea,label,summary") && !String(getSelection())) focus();
  });
  model.on("change:state", onState);
  model.on("change:cards", update);
  model.on("msg:custom", onMessage);
  model.on("comm_live_update", lost);
  root.addEventListener("focusin", ask);
  onState();
  if (outbox.items.length) resend();
  return () => {
    clearTimeout(timer);
    window.removeEventListener("keydown", onSave, true);
    model.off("change:state", onState);
    model.off("change:cards", update);
    model.off("msg:custom", onMessage);
    model.off("comm_live_update", lost);
  };
}
