// The live stream: what every process puts, as it comes, through filters.

import { get } from "../api.js";
import { Bars } from "../chart.js";
import { h, setText } from "../dom.js";
import { Feed } from "../feed.js";
import { compact, count } from "../format.js";
import { go, replace } from "../router.js";
import { EVENT_FIELDS, eventRow, fillEventRow } from "../rows.js";
import { VirtualList } from "../virtual.js";
import { failure } from "./parts.js";

const KEPT = 5_000; // events in this page; older ones are in the store
const BEFORE = 200; // of those that were there already
const FIELDS = [
  ["event_name", "Event", "agent:*"],
  ["agent_id", "Agent", ""],
  ["session_id", "Session", ""],
  ["correlation_id", "Correlation", ""],
  ["text", "Text", ""],
];

export function show({ parameters }) {
  return new Live(parameters);
}

class Live {
  constructor(filters) {
    this.filters = filters;
    this.events = []; // oldest first
    this.waiting = []; // came while the view was paused
    this.paused = false;
    this.second = 0;
    this.missedTimes = 0;
    this.list = new VirtualList({
      label: "Events, newest first",
      create: eventRow,
      fill: (row, index) => fillEventRow(row, this.at(index)),
      open: (index) => go("context", this.at(index).ref),
    });
    this.list.element.setAttribute("aria-live", "off");
    this.keys = { " ": () => this.pause(), f: () => this.form.elements[0].focus() };
    this.problem = h("div");
    this.element = h("section", { class: "view live" }, this.controls(), this.problem, this.list.element);
    this.timer = setInterval(() => this.tick(), 1000);
    this.begin();
  }

  at(index) {
    return this.events[this.events.length - 1 - index];
  }

  controls() {
    const inputs = FIELDS.map(([name, label, hint]) =>
      h("label", {}, h("span", {}, label), h("input", { name, placeholder: hint, value: this.filters[name] ?? "", autocomplete: "off", spellcheck: "false" })));
    const wrong = h("label", { class: "check" }, h("input", { type: "checkbox", name: "errors", checked: this.filters.errors === "true" }), "Errors");
    this.form = h("form", { class: "filters", "aria-label": "Filters" }, inputs, wrong);
    this.form.addEventListener("change", () => this.refilter());
    this.form.addEventListener("submit", (event) => event.preventDefault());
    this.button = h("button", { type: "button", class: "pause", onclick: () => this.pause(), "aria-pressed": "false", title: "Space" }, "Pause");
    this.bars = new Bars("Events in each of the last 60 seconds");
    this.rate = h("strong", { class: "rate" }, "0");
    this.state = h("span", { class: "state", role: "status" }, "connecting");
    this.missed = h("span", { class: "missed", role: "status" });
    return h("div", { class: "controls" },
      h("div", { class: "pulse" }, this.button, this.bars.element, h("span", { class: "per" }, this.rate, " events/s"), this.state, this.missed),
      this.form);
  }

  /** What was there before, then what comes. */
  async begin() {
    const filters = this.filters;
    const feed = new Feed({ ...filters, fields: EVENT_FIELDS }, {
      events: (events) => this.take(events),
      missed: (stretch) => this.miss(stretch),
      state: (state) => this.connection(state),
      refused: (error) => this.problem.replaceChildren(failure(error)),
    });
    this.feed = feed;
    try {
      const past = await get("/v1/events", { ...filters, fields: EVENT_FIELDS, limit: BEFORE, newest_first: true });
      if (this.feed !== feed) return;
      this.events = past.items.reverse();
      this.problem.replaceChildren();
    } catch (error) {
      if (this.feed !== feed) return;
      this.problem.replaceChildren(failure(error));
      if (error.status === 400 || error.status === 401 || error.status === 403) return;
    }
    this.list.reset(this.events.length);
    feed.start(this.events[this.events.length - 1]?.ref);
  }

  refilter() {
    const given = [...new FormData(this.form)].filter(([, value]) => value.trim());
    this.filters = Object.fromEntries(given.map(([name, value]) => [name, name === "errors" ? "true" : value.trim()]));
    replace("live", "", this.filters);
    this.feed.close();
    this.waiting = [];
    this.events = [];
    this.list.reset(0);
    this.begin();
  }

  take(events) {
    this.second += events.length;
    if (this.paused) {
      this.waiting.push(...events);
      if (this.waiting.length > KEPT) this.waiting.splice(0, this.waiting.length - KEPT);
      this.caption();
      return;
    }
    this.waiting.push(...events);
    this.frame ??= requestAnimationFrame(() => this.flush());
  }

  /** Once a frame, however many messages came. */
  flush() {
    this.frame = null;
    if (this.paused) return;
    const came = this.waiting.splice(0).slice(-KEPT);
    this.events.push(...came);
    if (this.events.length > KEPT) this.events.splice(0, this.events.length - KEPT);
    this.list.prepended(came.length, this.events.length);
  }

  pause() {
    this.paused = !this.paused;
    this.button.setAttribute("aria-pressed", this.paused);
    this.element.classList.toggle("paused", this.paused);
    if (!this.paused) this.flush();
    this.caption();
  }

  caption() {
    setText(this.button, this.paused ? `Go on${this.waiting.length ? ` (${compact(this.waiting.length)} waiting)` : ""}` : "Pause");
  }

  /** Something came too fast for this page, or while it was away. */
  miss({ end }) {
    this.missedTimes++;
    setText(this.missed, `missed ${this.missedTimes === 1 ? "some" : `some, ${count(this.missedTimes)} times`}`);
    this.missed.title = end
      ? "Events came faster than this page took them. They are in the store: narrow the filters, or search."
      : "The connection was away for so long that the last event seen has expired.";
  }

  connection(state) {
    setText(this.state, state === "open" ? "live" : "reconnecting");
    this.state.dataset.state = state;
  }

  tick() {
    setText(this.rate, compact(this.second));
    this.bars.push(this.second);
    this.second = 0;
  }

  close() {
    clearInterval(this.timer);
    cancelAnimationFrame(this.frame);
    this.feed?.close();
    this.list.close();
  }
}
