// The events of a correlation along the time: when each began, how long it was handled, what went wrong.

import { get, path } from "../api.js";
import { h, paint, setAttribute, setText } from "../dom.js";
import { duration } from "../format.js";
import { Pages } from "../pages.js";
import { go, link } from "../router.js";
import { VirtualList } from "../virtual.js";

const TICKS = 5;
const LEAST_SPAN = 1; // ms: a moment still has an axis

export class TimelinePanel {
  constructor(id, summary, failed) {
    this.span = [0, Math.max((summary.last - summary.first) * 1000, LEAST_SPAN)];
    this.whole = this.span;
    this.inView = [0, 0];
    this.following = false;
    const fetchPage = async (offset, limit) => {
      const page = await get(path("correlations", id, "timeline"), { offset, limit });
      this.whole = [0, Math.max(page.duration_ms, LEAST_SPAN)];
      return page;
    };
    this.pages = new Pages(fetchPage, { size: 500, changed: () => this.changed(), failed });
    this.list = new VirtualList({
      label: "Events by their time",
      create: timelineRow,
      fill: (row, index) => this.fill(row, this.pages.at(index)),
      open: (index) => this.pages.at(index) && go("context", this.pages.at(index).ref),
      range: (first, end) => this.range(first, end),
    });
    this.navigation = this.list;
    this.axis = h("div", { class: "axis", "aria-hidden": "true" }, Array.from({ length: TICKS }, () => h("span")));
    this.zoom = h("button", { type: "button", class: "quiet", "aria-pressed": "false", onclick: () => this.toggle(), title: "The axis spans only the rows in view" }, "Zoom to rows");
    this.element = h("div", { class: "timeline" }, h("div", { class: "axis-row" }, this.zoom, this.axis), this.list.element);
    this.list.reset(summary.count);
    this.pages.need(0, 1).catch(() => {});
  }

  changed() {
    this.rescale();
    this.list.reset(this.pages.total);
  }

  range(first, end) {
    this.inView = [first, end];
    if (end > first) this.pages.need(first, end).catch(() => {});
    if (this.following) this.rescale();
  }

  toggle() {
    this.following = !this.following;
    this.zoom.setAttribute("aria-pressed", this.following);
    this.rescale();
  }

  /** Choose the axis, and move what is in view when it has changed. */
  rescale() {
    let span = this.whole;
    const rows = this.following ? this.pages.items.slice(...this.inView).filter(Boolean) : [];
    if (rows.length) {
      const begin = Math.min(...rows.map((node) => node.start_ms));
      span = [begin, Math.max(begin + LEAST_SPAN, ...rows.map((node) => node.start_ms + (node.duration_ms ?? 0)))];
    }
    [...this.axis.children].forEach((tick, index) => {
      const at = span[0] + ((span[1] - span[0]) * index) / (TICKS - 1);
      setText(tick, duration(at));
    });
    if (span[0] === this.span[0] && span[1] === this.span[1]) return;
    this.span = span;
    this.list.refresh();
  }

  fill(row, node) {
    const { name, agent, bar, took } = row.parts;
    row.classList.toggle("coming", !node);
    row.classList.toggle("wrong", Boolean(node?.error));
    setText(name, node?.event_name ?? "");
    setAttribute(name, "href", node ? link("context", node.ref) : null);
    row.style.setProperty("--level", Math.min(node?.depth ?? 0, 12));
    setText(agent, node?.agent_id ?? "");
    paint(row, node?.agent_id);
    const [begin, end] = this.span;
    const start = node ? (node.start_ms - begin) / (end - begin) : 0;
    const length = node ? (node.duration_ms ?? 0) / (end - begin) : 0;
    bar.style.left = `${(Math.min(Math.max(start, 0), 1) * 100).toFixed(3)}%`;
    bar.style.width = `${(Math.min(length, 1 - Math.min(start, 1)) * 100).toFixed(3)}%`;
    setText(took, duration(node?.duration_ms));
    took.classList.toggle("before", start + length > 0.75);
    setAttribute(row, "title", node && [node.event_name, `+${duration(node.start_ms)}`, duration(node.duration_ms), node.error].filter(Boolean).join("\n"));
  }

  close() {
    this.list.close();
  }
}

function timelineRow() {
  const took = h("span", { class: "took" });
  const bar = h("span", { class: "duration" }, took);
  const name = h("a", { class: "name", tabindex: -1 });
  const agent = h("span", { class: "agent" });
  const row = h("div", { class: "lane" }, h("span", { class: "label" }, name, agent), h("span", { class: "track" }, bar));
  row.parts = { name, agent, bar, took };
  return row;
}
