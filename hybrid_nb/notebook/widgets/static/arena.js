// The arena's front end: a plain ES module. It shows the dict `page` (arena/page.py says what is in it) and sends
// wishes: vote, next, skip, rest, own. Answers come as HTML that lets nothing through that could act; all else is text.

const PATIENCE = 1000; // milliseconds without an answer after which the kernel is busy elsewhere
const LOST = "Not connected: the kernel was restarted or has ended. Run this cell again to go on.";
const BUSY = "Waiting: the kernel is busy with another cell. It goes on when that is done.";
const KEYS = { ArrowLeft: "left", 1: "left", ArrowRight: "right", 2: "right", 0: "tie", t: "tie", s: "skip", Enter: "next" };
const GO = { ready: "Start", voted: "Next pair", resting: "Go on", halted: "Go on", over: "Go on" };

function make(tag, attributes = {}, ...children) {
  const el = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) el.addEventListener(name.slice(2), value);
    else el.setAttribute(name, value === true ? "" : value);
  }
  el.append(...children);
  return el;
}

const button = (text, act, work, more = {}) =>
  make("button", { type: "button", class: "hnb-chat-button", "data-act": act, onclick: work, ...more }, text);

class Arena {
  constructor(model, el, signal) {
    this.model = model;
    this.mark = Math.random().toString(36).slice(2, 8);
    this.count = 0;
    this.asked = []; // wishes that the kernel has not heard yet: { count, at, number }
    this.page = {};
    this.build(el);
    this.show = () => this.draw(model.get("page") || {});
    this.heard = () => this.hear(model.get("heard") || "");
    model.on("change:page", this.show);
    model.on("change:heard", this.heard);
    this.timer = setInterval(() => this.tick(), 250);
    this.end = () => {
      model.off("change:page", this.show);
      model.off("change:heard", this.heard);
      clearInterval(this.timer);
    };
    signal?.addEventListener("abort", this.end);
    this.watchConnection();
    this.show();
  }

  // --- the page -----------------------------------------------------------------------------------------------

  build(el) {
    const vote = (choice) => () => this.vote(choice);
    this.progress = make("progress", { max: "1", value: "0", "aria-label": "Votes so far" });
    this.count_ = make("span", {});
    this.rest = button("Ranking", "rest", () => this.ask("rest"));
    this.prompt = make("div", { class: "hnb-arena-prompt", tabindex: "0", role: "region", "aria-label": "Prompt" });
    this.sides = [this.side("Left"), this.side("Right")];
    this.told = make("div", { class: "hnb-arena-told", role: "status", "aria-live": "polite" });
    this.seconds = make("span", { class: "hnb-chat-quiet", "aria-hidden": "true" });
    this.busy = make("div", { class: "hnb-chat-status", role: "status" });
    this.choices = make("div", { class: "hnb-arena-row", role: "group", "aria-label": "Your vote" },
      button("Left is better", "left", vote("left")), button("Tie", "tie", vote("tie")), button("Right is better", "right", vote("right")));
    this.skip = button("Skip", "skip", () => this.vote("skip"));
    this.choices.append(this.skip);
    this.go = button("Start", "next", () => this.ask("next"), { class: "hnb-chat-button hnb-chat-main" });
    this.table = make("div", { class: "hnb-arena-table", tabindex: "0", role: "region", "aria-label": "Ranking" });
    this.beside = make("div", { class: "hnb-arena-sides" }, ...this.sides.map((side) => side.el));
    const key = (name) => make("kbd", {}, name);
    this.root = make("section", { class: "hnb-chat hnb-arena", "aria-label": "Blind comparison", tabindex: "0", "data-lm-suppress-shortcuts": "true" },
      make("div", { class: "hnb-arena-row" }, make("div", { class: "hnb-arena-grow" }, this.count_, this.progress), this.rest),
      this.prompt, this.beside,
      make("div", { class: "hnb-arena-row" }, this.told, this.seconds),
      make("div", { class: "hnb-arena-row" }, this.choices, this.go),
      this.busy, this.table, this.own(),
      make("p", { class: "hnb-chat-quiet" }, "Keys: ", key("←"), " or ", key("1"), " left, ", key("→"), " or ", key("2"), " right, ",
        key("0"), " or ", key("T"), " tie, ", key("S"), " skip, ", key("Enter"), " next"));
    for (const kind of ["keydown", "keypress", "keyup", "paste", "copy", "cut"])
      this.root.addEventListener(kind, (event) => event.stopPropagation()); // no business of the notebook's
    this.root.addEventListener("keydown", (event) => this.typed(event));
    el.append(this.root);
  }

  side(place) {
    const head = make("strong", {}, place);
    const body = make("div", { class: "hnb-chat-body", tabindex: "0", role: "region", "aria-label": `${place} answer` });
    const foot = make("footer", { hidden: true });
    return { place, head, body, foot, el: make("article", { class: "hnb-arena-side", "aria-label": place }, make("header", {}, head), body, foot) };
  }

  own() {
    this.box = make("textarea", { id: `hnb-own-${this.mark}`, rows: "2", autocomplete: "off" });
    const send = () => {
      if (!this.box.value.trim()) return;
      this.ask("own", { text: this.box.value });
      this.box.value = "";
      this.root.focus();
    };
    this.box.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && !event.shiftKey && !event.isComposing) (event.preventDefault(), send());
    });
    return make("div", {}, make("label", { for: this.box.id }, "A prompt of your own, which comes next"), this.box,
      make("div", { class: "hnb-arena-row" }, button("Ask it", "own", send)));
  }

  // --- wishes -------------------------------------------------------------------------------------------------

  typed(event) {
    const at = event.target;
    if (event.ctrlKey || event.altKey || event.metaKey || event.shiftKey || event.repeat || event.defaultPrevented) return;
    if (at.closest("textarea, input, select")) return;
    const wish = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!wish) return;
    if (event.key === "Enter" && at.closest("button, a, summary")) return; // which it presses
    if (event.key.startsWith("Arrow") && at.closest("pre, .hnb-table, .hnb-arena-table")) return; // which it scrolls
    event.preventDefault();
    if (wish === "next") this.go.hidden || this.ask("next");
    else this.vote(wish);
  }

  /** Only for the pair that is on the screen: a key that is pressed twice says nothing about the next one. */
  vote(choice) {
    const { phase, number } = this.page;
    if (choice === "skip" ? phase !== "open" && phase !== "asking" : phase !== "open") return;
    if (choice === "skip") this.ask("skip", { number });
    else this.ask("vote", { choice, number });
  }

  ask(what, more = {}) {
    if (this.lost || (more.number !== undefined && this.asked.some((one) => one.number === more.number))) return;
    this.asked.push({ count: ++this.count, at: performance.now(), number: more.number });
    this.model.send({ ask: what, n: `${this.mark} ${this.count}`, ...more });
  }

  /** The kernel has done a wish, and all before it. */
  hear(heard) {
    const [mark, count] = heard.split(" ");
    if (mark === this.mark) this.asked = this.asked.filter((one) => one.count > Number(count));
  }

  // --- drawing ------------------------------------------------------------------------------------------------

  draw(page) {
    const held = this.root.contains(document.activeElement) ? document.activeElement : null;
    const before = this.page;
    this.page = page;
    const { phase } = page;
    if (phase === "asking" && (before.phase !== "asking" || before.number !== page.number)) this.since = performance.now();
    this.count_.textContent = page.progress || "";
    this.progress.value = page.share || 0;
    this.prompt.textContent = page.prompt || "";
    this.prompt.hidden = !page.prompt;
    this.sides.forEach((side, place) => this.drawSide(side, place));
    this.beside.hidden = !page.left?.length;
    if (this.told.textContent !== page.told) this.told.textContent = page.told || "";
    this.told.classList.toggle("hnb-chat-problem", Boolean(page.problem));
    this.choices.hidden = phase !== "open" && phase !== "asking";
    for (const one of this.choices.children) one.hidden = phase === "asking" && one !== this.skip;
    this.go.hidden = !(phase in GO);
    this.go.textContent = GO[phase] || "";
    this.rest.hidden = !["open", "asking", "voted"].includes(phase);
    if (before.table !== page.table) this.table.innerHTML = page.table || "";
    this.table.hidden = !page.table;
    if (held && (held !== document.activeElement || held.closest("[hidden]"))) this.root.focus({ preventScroll: true });
    this.tick();
  }

  drawSide(side, place) {
    const { names = [], notes = [], choice = "" } = this.page;
    const key = place ? "right" : "left";
    const html = this.page[key] || [];
    if (side.html !== html.join("\n")) {
      side.html = html.join("\n");
      side.body.replaceChildren(...html.map((one) => {
        const block = make("div", { class: "hnb-chat-block" });
        block.innerHTML = one;
        return block;
      }));
      side.body.scrollTop = 0;
    }
    const won = choice === key ? " (your choice)" : "";
    side.head.textContent = names[place] ? `${side.place}: ${names[place]}${won}` : side.place;
    side.el.classList.toggle("hnb-arena-best", Boolean(won));
    side.foot.textContent = notes[place] || "";
    side.foot.hidden = !notes[place];
  }

  tick() {
    const waits = this.page.phase === "asking";
    this.seconds.textContent = waits ? `${Math.floor((performance.now() - this.since) / 1000)} s` : "";
    const late = this.asked.length && performance.now() - this.asked[0].at > PATIENCE;
    const text = this.lost ? LOST : late ? BUSY : "";
    if (this.busy.textContent !== text) this.busy.textContent = text;
  }

  /** Front ends tell of the end of a kernel in their own ways; this is ipywidgets' one. */
  async watchConnection() {
    const gone = () => {
      this.lost = true;
      this.tick();
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
    const arena = new Arena(model, el, signal);
    return () => arena.end();
  },
};
