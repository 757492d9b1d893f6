// The chat's front end: a plain ES module. What it says and hears is listed in chat_news.py.
// HTML of answers comes from markup.py, which lets nothing through that could act; all else is set as text.

const NEAR = 48; // pixels from the end within which the view goes along with the answer
const PATIENCE = 1000; // milliseconds without an acknowledgement after which the kernel is busy elsewhere
const MOST_TURNS = 240; // in the page; those far above are taken out and asked for again
const KEPT_TURNS = 120;
const LOST = "Not connected: the kernel was restarted or has ended. The text stays readable; run this cell again to go on.";
const BUSY = "Waiting: the kernel is busy with another cell. Your message goes out when it is free.";

function make(tag, attributes = {}, ...children) {
  const el = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) el.addEventListener(name.slice(2), value);
    else el.setAttribute(name, value === true ? "" : value);
  }
  el.append(...children.filter((child) => child !== null && child !== undefined));
  return el;
}

const button = (text, act, work, more = {}) =>
  make("button", { type: "button", class: "hnb-chat-button", "data-act": act, onclick: work, ...more }, text);

async function toClipboard(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = make("textarea", { class: "hnb-chat-unseen", "aria-hidden": "true" });
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
}

async function copied(from, text) {
  const before = document.activeElement;
  await toClipboard(text);
  if (before instanceof HTMLElement) before.focus();
  const label = from.textContent;
  from.textContent = "Copied";
  setTimeout(() => (from.textContent = label), 1500);
}

function download({ name, type, text }) {
  const link = make("a", { href: URL.createObjectURL(new Blob([text], { type })), download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}

/** One block of an answer, with a button to copy each piece of code. */
function setBlock(el, html) {
  el.innerHTML = html;
  for (const caption of el.querySelectorAll("figure.hnb-code > figcaption")) {
    const code = caption.nextElementSibling;
    const copy = button("Copy", "copy-code", (event) => copied(event.currentTarget, code.textContent));
    copy.setAttribute("aria-label", `Copy this ${caption.textContent} code`);
    caption.append(copy);
  }
}

class Chat {
  constructor(model, el, signal) {
    this.model = model;
    this.mark = Math.random().toString(36).slice(2, 8);
    this.count = 0;
    this.unheard = new Map(); // what was asked and not acknowledged: number -> time
    this.first = 0; // the place of the first turn that is here
    this.turns = []; // { data, el, html }
    this.state = { busy: false };
    this.pending = null; // a turn that was sent and not taken up yet
    this.stuck = true; // whether the view goes along with the end
    this.top = 0;
    this.lost = false;
    this.build(el);
    const hear = (news) => this.hear(news);
    model.on("msg:custom", hear);
    this.timer = setInterval(() => this.tick(), 250);
    this.end = () => {
      model.off("msg:custom", hear);
      clearInterval(this.timer);
      this.observer.disconnect();
    };
    signal?.addEventListener("abort", this.end);
    this.watchConnection();
    const snapshot = model.get("snapshot") || {};
    for (const news of snapshot.news || []) this.hear(news);
    this.ask("hello");
  }

  // --- the page -----------------------------------------------------------------------------------------------

  build(el) {
    this.select = make("select", { id: `hnb-model-${this.mark}`, onchange: () => this.ask("model", { name: this.select.value }) });
    this.undo = button("Undo", "undo", () => this.ask("undo"));
    this.clear = button("Clear", "clear", () => this.ask("clear"));
    this.system = make("textarea", { id: `hnb-system-${this.mark}`, rows: "2", onchange: () => this.ask("system", { text: this.system.value }) });
    this.systemState = make("span", { class: "hnb-chat-quiet" });
    this.older = button("Earlier turns", "older", () => this.askOlder(), { hidden: true });
    this.log = make("div", { class: "hnb-chat-log", role: "log", "aria-live": "off", "aria-label": "Conversation", tabindex: "0" }, this.older);
    this.empty = make("p", { class: "hnb-chat-empty" }, "Ask anything. Answers stream in here, with who gave them, how long they took and what they cost.");
    this.log.append(this.empty);
    this.latest = button("Go to the latest", "latest", () => this.toEnd(), { hidden: true });
    this.spoken = make("div", { class: "hnb-chat-unseen", "aria-live": "polite" });
    this.status = make("div", { class: "hnb-chat-status", role: "status" });
    this.problem = make("div", { class: "hnb-chat-status hnb-chat-problem", role: "alert", hidden: true });
    this.total = make("span", { class: "hnb-chat-total" });
    this.root = make(
      "section",
      { class: "hnb-chat", "aria-label": "Chat" },
      this.buildTop(),
      make("details", { class: "hnb-chat-system" }, make("summary", {}, "System prompt ", this.systemState),
        make("label", { for: this.system.id, class: "hnb-chat-quiet" }, "Instructions for the model, from the next answer on"), this.system),
      make("div", { class: "hnb-chat-middle" }, this.log, this.latest),
      this.spoken, this.status, this.problem,
      this.buildCompose(),
      make("div", { class: "hnb-chat-foot" }, this.total, make("span", { class: "hnb-chat-quiet" }, "Enter sends · Shift+Enter: new line · Esc stops")),
    );
    this.shield();
    el.append(this.root);
    this.log.addEventListener("scroll", () => this.scrolled(), { passive: true });
    this.observer = new IntersectionObserver((seen) => seen.some((one) => one.isIntersecting) && this.askOlder(), { root: this.log, rootMargin: "600px 0px 0px 0px" });
    this.observer.observe(this.older);
  }

  buildTop() {
    this.name = make("span", { class: "hnb-chat-name" });
    const save = (kind) => (event) => {
      event.currentTarget.closest("details").open = false;
      this.ask("export", { kind });
    };
    const menu = make("details", { class: "hnb-chat-menu" }, make("summary", {}, "Export"),
      make("div", {}, button("Markdown file", "markdown", save("markdown")), button("Notebook file", "notebook", save("notebook"))));
    return make("div", { class: "hnb-chat-top" },
      make("label", { for: this.select.id }, "Ask"), this.select, this.name,
      make("span", { class: "hnb-chat-gap" }), this.undo, this.clear, menu);
  }

  buildCompose() {
    this.box = make("textarea", { id: `hnb-box-${this.mark}`, rows: "1", placeholder: "Message", autocomplete: "off" });
    this.sendButton = make("button", { type: "submit", class: "hnb-chat-button hnb-chat-main", "data-act": "send" }, "Send");
    this.stopButton = button("Stop", "stop", () => this.ask("stop"), { hidden: true, class: "hnb-chat-button hnb-chat-main" });
    this.chips = make("ul", { class: "hnb-chat-chips", "aria-label": "Attached to the next message", hidden: true });
    this.file = make("input", { type: "file", accept: "image/png,image/jpeg,image/gif,image/webp", multiple: true, hidden: true, onchange: () => this.takeFiles(this.file.files) });
    this.tables = make("datalist", { id: `hnb-tables-${this.mark}` });
    this.variable = make("input", { type: "text", id: `hnb-variable-${this.mark}`, list: this.tables.id, autocomplete: "off", placeholder: "df" });
    const add = button("Add", "add-table", () => this.addTable());
    this.variable.addEventListener("keydown", (event) => event.key === "Enter" && (event.preventDefault(), this.addTable()));
    this.tableRow = make("div", { class: "hnb-chat-row", hidden: true },
      make("label", { for: this.variable.id }, "Variable with a DataFrame"), this.variable, this.tables, add);
    const toggle = button("Attach table", "table", () => this.toggleTables(), { "aria-expanded": "false" });
    this.tableToggle = toggle;
    const form = make("form", { class: "hnb-chat-compose", onsubmit: (event) => (event.preventDefault(), this.send()) },
      this.chips,
      make("label", { for: this.box.id, class: "hnb-chat-unseen" }, "Message"), this.box, this.file, this.tableRow,
      make("div", { class: "hnb-chat-row" }, button("Attach picture", "picture", () => this.file.click()), toggle,
        make("span", { class: "hnb-chat-gap" }), this.stopButton, this.sendButton));
    this.box.addEventListener("keydown", (event) => this.typed(event));
    this.box.addEventListener("input", () => this.grow(this.box));
    this.box.addEventListener("paste", (event) => event.clipboardData?.files.length && (event.preventDefault(), this.takeFiles(event.clipboardData.files)));
    form.addEventListener("dragover", (event) => (event.preventDefault(), form.classList.add("hnb-chat-over")));
    form.addEventListener("dragleave", () => form.classList.remove("hnb-chat-over"));
    form.addEventListener("drop", (event) => {
      event.preventDefault();
      form.classList.remove("hnb-chat-over");
      this.takeFiles(event.dataTransfer?.files || []);
    });
    return form;
  }

  /** Keys that are meant for the chat are no business of the notebook's. */
  shield() {
    for (const kind of ["keydown", "keypress", "keyup", "paste", "copy", "cut"])
      this.root.addEventListener(kind, (event) => event.stopPropagation());
    this.root.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && this.state.busy && !event.defaultPrevented) this.ask("stop");
    });
    // JupyterLab listens before the page does; this attribute is how it is told to keep out (D D would delete the cell)
    for (const part of [this.log, this.root.querySelector(".hnb-chat-top"), this.root.querySelector(".hnb-chat-compose > .hnb-chat-row:last-child"), this.root.querySelector("summary")])
      part.setAttribute("data-lm-suppress-shortcuts", "true");
  }

  grow(box) {
    box.style.height = "auto";
    box.style.height = `${Math.min(box.scrollHeight + 2, 240)}px`;
  }

  // --- asking the kernel ----------------------------------------------------------------------------------------

  ask(what, more = {}, buffers = []) {
    if (this.lost) return this.say(LOST, true);
    const n = `${this.mark}-${++this.count}`;
    this.unheard.set(n, performance.now());
    this.model.send({ ask: what, n, ...more }, undefined, buffers);
  }

  typed(event) {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      this.send();
    } else if (event.key === "ArrowUp" && this.box.value === "" && !this.state.busy) {
      const mine = this.turns.filter((turn) => turn.data.role === "user").at(-1);
      if (mine) (event.preventDefault(), this.edit(mine));
    }
  }

  send() {
    const text = this.box.value;
    if (this.state.busy || this.pending || this.lost || !(text.trim() || this.state.attached?.length)) return;
    this.pending = { text, el: make("article", { class: "hnb-chat-turn hnb-chat-user hnb-chat-pending" }, make("header", {}, make("strong", {}, "You")), make("div", { class: "hnb-chat-body hnb-chat-said" }, text)) };
    this.empty.hidden = true;
    this.log.append(this.pending.el);
    this.box.value = "";
    this.grow(this.box);
    this.toEnd();
    this.ask("send", { text });
  }

  askOlder() {
    if (this.first > 0 && this.askedOlder !== this.first) {
      this.askedOlder = this.first;
      this.ask("older", { before: this.first });
    }
  }

  async takeFiles(files) {
    for (const file of files) {
      const data = await file.arrayBuffer();
      this.ask("picture", { name: file.name }, [new DataView(data)]);
    }
    this.file.value = "";
    this.box.focus();
  }

  toggleTables() {
    this.tableRow.hidden = !this.tableRow.hidden;
    this.tableToggle.setAttribute("aria-expanded", String(!this.tableRow.hidden));
    if (this.tableRow.hidden) return;
    this.ask("tables");
    this.variable.focus();
  }

  addTable() {
    if (!this.variable.value.trim()) return;
    this.ask("attach", { name: this.variable.value });
    this.variable.value = "";
    this.toggleTables();
    this.box.focus();
  }

  // --- hearing from it ------------------------------------------------------------------------------------------

  hear(news) {
    const hearer = this[`on_${news.do}`];
    if (hearer) hearer.call(this, news);
  }

  on_ack({ n }) {
    this.unheard.delete(n);
  }

  on_say({ text, problem }) {
    this.say(text, problem);
  }

  on_refused({ ask, text }) {
    if (ask === "send" && this.pending) {
      this.unpend();
      if (!this.box.value) this.box.value = text;
      this.grow(this.box);
    }
  }

  on_models({ groups }) {
    const wanted = this.state.model || "auto";
    this.select.replaceChildren(make("option", { value: "auto" }, "auto (the router plans)"),
      ...groups.filter((group) => group.names.length).map((group) =>
        make("optgroup", { label: group.label }, ...group.names.map((name) => make("option", { value: name }, name)))));
    this.select.value = wanted;
  }

  on_tables({ names }) {
    this.tables.replaceChildren(...names.map((name) => make("option", { value: name })));
    if (names.length && !this.variable.value) this.variable.placeholder = names[0];
  }

  on_file(file) {
    download(file);
    this.say(`${file.name} is in your downloads. From a cell: chat.save_notebook("${file.name.replace(/\.md$/, ".ipynb")}").`);
  }

  on_state(state) {
    const was = this.state;
    this.state = { ...state, heard: performance.now() };
    this.total.textContent = state.total;
    this.name.textContent = state.name ? `kept as “${state.name}”` : "";
    this.undo.disabled = state.busy || !state.undo;
    this.clear.disabled = state.busy || !state.count;
    if (this.select.value !== state.model) this.select.value = state.model;
    if (document.activeElement !== this.system) this.system.value = state.system;
    this.systemState.textContent = state.system.trim() ? "· set" : "· none";
    this.showChips(state.attached);
    this.swapButtons(state.busy, was.busy);
    if (state.busy && !was.busy) this.say("");
    for (const turn of this.turns) this.allow(turn);
    this.tick();
  }

  swapButtons(busy, was) {
    const held = document.activeElement;
    this.stopButton.hidden = !busy;
    this.sendButton.hidden = busy;
    if (was !== busy && (held === this.stopButton || held === this.sendButton)) this.box.focus();
  }

  showChips(labels) {
    this.chips.hidden = !labels.length;
    this.chips.replaceChildren(...labels.map((label, place) =>
      make("li", {}, label, " ", button("Remove", "detach", () => this.ask("detach", { place }), { "aria-label": `Remove ${label}` }))));
  }

  on_turns({ from, turns, first }) {
    const held = this.root.contains(document.activeElement);
    const mine = this.pending !== null || turns.some((turn) => turn.status === "running");
    this.unpend();
    if (first !== undefined) {
      for (const turn of this.turns) turn.el.remove();
      this.turns = [];
      this.first = first;
    }
    while (this.turns.length && this.first + this.turns.length > from) this.turns.pop().el.remove();
    if (this.first + this.turns.length !== from) {
      for (const turn of this.turns.splice(0)) turn.el.remove(); // not what stands before these
      this.first = from;
    }
    for (const data of turns) {
      const turn = this.turnOf(data);
      this.turns.push(turn);
      this.log.append(turn.el);
    }
    if (this.stuck || mine) this.trim();
    this.shownOlder();
    if (held && !this.root.contains(document.activeElement)) this.box.focus();
    if (this.stuck || mine || first !== undefined) this.toEnd();
  }

  on_older({ from, turns }) {
    if (from + turns.length !== this.first) return;
    const height = this.log.scrollHeight;
    const made = turns.map((data) => this.turnOf(data));
    this.older.after(...made.map((turn) => turn.el));
    this.turns.unshift(...made);
    this.first = from;
    this.shownOlder();
    this.log.scrollTop += this.log.scrollHeight - height;
    this.observer.unobserve(this.older); // it tells again whether it is in view
    this.observer.observe(this.older);
  }

  on_turn({ turn: data }) {
    const old = this.turns.find((turn) => turn.data.id === data.id);
    if (!old) return;
    const act = old.el.contains(document.activeElement) ? document.activeElement.dataset.act : null;
    const fresh = this.turnOf(data);
    old.el.replaceWith(fresh.el);
    this.turns[this.turns.indexOf(old)] = fresh;
    if (act) (fresh.el.querySelector(`[data-act="${act}"]`) || this.box).focus();
    this.announce(data);
    this.follow();
  }

  on_text({ turn: id, from, keep, blocks }) {
    const turn = this.turns.find((one) => one.data.id === id);
    if (!turn) return;
    turn.wait?.remove();
    const body = turn.body;
    blocks.forEach((html, place) => {
      const at = from + place;
      const whole = place === 0 && keep ? (turn.html[at] || "").slice(0, keep) + html : html;
      turn.html[at] = whole;
      if (!body.children[at]) body.append(make("div", { class: "hnb-chat-block" }));
      setBlock(body.children[at], whole);
    });
    turn.html.length = from + blocks.length;
    while (body.children.length > turn.html.length) body.lastElementChild.remove();
    this.follow();
  }

  // --- turns ------------------------------------------------------------------------------------------------------

  turnOf(data) {
    const turn = { data, html: [...data.blocks] };
    turn.body = make("div", { class: "hnb-chat-body" });
    if (data.role === "user") {
      turn.body.classList.add("hnb-chat-said");
      turn.body.textContent = data.text;
    } else {
      for (const html of data.blocks) {
        const block = make("div", { class: "hnb-chat-block" });
        setBlock(block, html);
        turn.body.append(block);
      }
    }
    turn.actions = make("div", { class: "hnb-chat-actions" });
    turn.el = make("article", { class: `hnb-chat-turn hnb-chat-${data.role} hnb-chat-is-${data.status}`, "data-turn": data.id, "aria-label": data.role === "user" ? "You" : `Answer of ${data.who}` },
      make("header", {}, make("strong", {}, data.who), this.branches(data)),
      this.attached(data), turn.body, this.waitOf(turn), this.troubleOf(turn), this.footOf(data), turn.actions);
    this.allow(turn);
    return turn;
  }

  branches({ id, siblings }) {
    if (!siblings.length) return null;
    const place = siblings.indexOf(id);
    const to = (step, text) => button(text, `branch${step}`, () => this.ask("pick", { turn: siblings[place + step] }), { disabled: siblings[place + step] === undefined, "data-none": siblings[place + step] === undefined });
    return make("span", { class: "hnb-chat-branches", role: "group", "aria-label": "Versions of this turn" },
      to(-1, "Previous"), make("span", {}, `${place + 1} of ${siblings.length}`), to(1, "Next"));
  }

  attached({ pictures, tables }) {
    if (!pictures.length && !tables.length) return null;
    return make("ul", { class: "hnb-chat-chips", "aria-label": "Attached" },
      ...pictures.map(({ label, src }) => make("li", {}, src ? make("img", { src, alt: label }) : label)),
      ...tables.map((label) => make("li", {}, label)));
  }

  waitOf(turn) {
    if (turn.data.status !== "running") return null;
    turn.wait = make("div", { class: "hnb-chat-wait" }, make("span", { class: "hnb-chat-dots", "aria-hidden": "true" }), make("span", {}, "asking …"));
    return turn.wait;
  }

  troubleOf(turn) {
    const { error, advice, status } = turn.data;
    if (!error && status !== "stopped") return null;
    if (!error) return make("div", { class: "hnb-chat-note" }, "Stopped: this is what had come.");
    const begin = status === "broken" ? "Broken off. " : "No answer. ";
    return make("div", { class: "hnb-chat-error" },
      make("div", { role: "alert" }, make("strong", {}, begin), error, make("div", {}, advice)), this.action("retry", turn));
  }

  footOf({ footer, route }) {
    if (!footer && !route) return null;
    const line = make("footer", { class: "hnb-chat-footer" }, make("span", {}, footer));
    if (route) line.append(make("details", {}, make("summary", { "data-act": "route" }, "Route"), make("pre", { tabindex: "0" }, route)));
    return line;
  }

  /** The buttons of a turn that make sense now. */
  allow(turn) {
    const { data, actions } = turn;
    const running = data.status === "running";
    if (turn.editing) return;
    const kinds = running || data.status === "failed" ? "" : data.role === "user" || data.error ? "copy edit" : "copy retry edit";
    if (turn.kinds !== kinds) {
      turn.kinds = kinds;
      actions.replaceChildren(...kinds.split(" ").filter(Boolean).map((kind) => this.action(kind, turn)));
    }
    for (const one of turn.el.querySelectorAll('[data-act="edit"], [data-act="retry"], .hnb-chat-branches button')) {
      one.disabled = this.state.busy || one.hasAttribute("data-none");
    }
  }

  action(kind, turn) {
    if (kind === "copy") return button("Copy", kind, (event) => copied(event.currentTarget, turn.data.text));
    if (kind === "retry") return button("Retry", kind, () => this.ask("retry", { turn: turn.data.id }));
    return button("Edit", kind, () => this.edit(turn));
  }

  edit(turn) {
    if (turn.editing || this.state.busy) return;
    turn.editing = true;
    const box = make("textarea", { "aria-label": "The turn's new text", class: "hnb-chat-editor" });
    box.value = turn.data.text;
    const end = () => {
      editor.remove();
      turn.body.hidden = turn.actions.hidden = false;
      turn.editing = false;
      turn.el.classList.remove("hnb-chat-edits");
      (turn.actions.querySelector('[data-act="edit"]') || this.box).focus();
    };
    const done = () => {
      if (!box.value.trim()) return;
      end();
      this.ask("edit", { turn: turn.data.id, text: box.value });
      this.box.focus();
    };
    box.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && !event.shiftKey && !event.isComposing) (event.preventDefault(), done());
      if (event.key === "Escape") (event.preventDefault(), end());
    });
    box.addEventListener("input", () => this.grow(box));
    const editor = make("div", { class: "hnb-chat-editing" }, box, make("div", { class: "hnb-chat-row" },
      button(turn.data.role === "user" ? "Send as a branch" : "Keep as a branch", "save", done), button("Cancel", "cancel", end)));
    turn.body.hidden = turn.actions.hidden = true;
    turn.body.after(editor);
    turn.el.classList.add("hnb-chat-edits");
    this.grow(box);
    box.focus();
  }

  unpend() {
    this.pending?.el.remove();
    this.pending = null;
  }

  // --- the window on the turns ----------------------------------------------------------------------------------

  trim() {
    if (this.turns.length <= MOST_TURNS) return;
    for (const turn of this.turns.splice(0, this.turns.length - KEPT_TURNS)) {
      turn.el.remove();
      this.first += 1;
    }
    this.askedOlder = null;
  }

  shownOlder() {
    this.older.hidden = this.first === 0;
    this.older.textContent = `Earlier turns (${this.first})`;
    this.empty.hidden = this.turns.length > 0 || this.pending !== null;
  }

  scrolled() {
    const top = this.log.scrollTop;
    const near = this.log.scrollHeight - top - this.log.clientHeight < NEAR;
    if (near) this.stuck = true;
    else if (top < this.top - 1) this.stuck = false; // somebody scrolled up; what grows by itself scrolls down only
    this.top = top;
    this.latest.hidden = this.stuck;
  }

  follow() {
    if (this.stuck) this.toEnd();
    else this.latest.hidden = false;
  }

  toEnd() {
    this.stuck = true;
    this.latest.hidden = true;
    const go = () => this.stuck && (this.log.scrollTop = this.log.scrollHeight);
    go();
    requestAnimationFrame(() => requestAnimationFrame(go)); // heights are guessed until turns are drawn
  }

  // --- telling ----------------------------------------------------------------------------------------------------

  say(text, problem = false) {
    this.status.textContent = problem ? "" : text;
    this.problem.textContent = problem ? text : "";
    this.problem.hidden = !(problem && text);
  }

  announce({ role, who, text, status, error }) {
    if (role !== "assistant" || status === "running") return;
    if (error) return; // its own alert tells
    this.spoken.textContent = `${status === "stopped" ? "Stopped" : `Answer of ${who}`}: ${text.slice(0, 1500)}`;
  }

  tick() {
    this.asking();
    const oldest = Math.min(...this.unheard.values());
    const waiting = performance.now() - oldest > PATIENCE;
    if (this.lost) this.say(LOST, true);
    else if (waiting && !this.waiting) this.say(BUSY);
    else if (!waiting && this.waiting) this.say("");
    this.waiting = waiting;
  }

  asking() {
    const turn = this.turns.find((one) => one.data.status === "running");
    if (turn && this.state.asking) turn.el.querySelector("header > strong").textContent = this.state.asking;
    if (!turn?.wait?.isConnected) return;
    const seconds = Math.floor((this.state.since || 0) + (performance.now() - (this.state.heard || 0)) / 1000);
    turn.wait.lastElementChild.textContent = `${this.state.doing || "asking"} … ${seconds} s`;
  }

  /** Front ends tell of the end of a kernel in their own ways; this is ipywidgets' one. */
  async watchConnection() {
    const gone = () => {
      this.lost = true;
      this.root.classList.add("hnb-chat-lost");
      this.sendButton.disabled = true;
      this.say(LOST, true);
    };
    this.model.on("comm:close", gone);
    try {
      const whole = await this.model.widget_manager.get_model(this.model.get("ident"));
      this.model.on("comm_live_update", () => whole.comm_live === false && gone());
      if (whole.comm_live === false) gone();
    } catch {
      return; // a front end that does not tell
    }
  }
}

export default {
  render({ model, el, signal }) {
    const chat = new Chat(model, el, signal);
    return () => chat.end();
  },
};
