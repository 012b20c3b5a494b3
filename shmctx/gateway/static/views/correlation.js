// One correlation: what it was, and its events as a tree or along the time.

import { get, path } from "../api.js";
import { h } from "../dom.js";
import { clock, count, duration, moment } from "../format.js";
import { attach } from "../keys.js";
import { replace } from "../router.js";
import { failure, agents, head, tabs } from "./parts.js";
import { TimelinePanel } from "./timeline-panel.js";
import { TreePanel } from "./tree-panel.js";

const PANELS = { tree: TreePanel, timeline: TimelinePanel };

export async function show({ id, parameters }, signal) {
  const summary = await get(path("correlations", id), {}, { signal });
  return new Correlation(id, summary, parameters.view === "timeline" ? "timeline" : "tree");
}

class Correlation {
  constructor(id, summary, view) {
    Object.assign(this, { id, summary });
    const { first, last, errors } = summary;
    this.panel = h("div", { class: "panel", role: "tabpanel" });
    this.keys = { 1: () => this.choose("tree"), 2: () => this.choose("timeline") };
    const figures = [
      ["events", count(summary.count)],
      ["errors", h("span", { class: errors ? "wrong" : "" }, count(errors))],
      ["first to last", duration((last - first) * 1000)],
      ["began", clock(first), moment(first)],
    ];
    this.tabs = tabs("How to see it", [["tree", "Tree"], ["timeline", "Timeline"]], view, (key) => this.choose(key));
    this.element = h("section", { class: "view correlation" }, head("Correlation", { id }, figures, agents(summary.agents)), this.tabs, this.panel);
  }

  choose(view) {
    if (this.view === view) return;
    this.view = view;
    this.tabs?.querySelectorAll("[role=tab]").forEach((tab) => tab.setAttribute("aria-selected", tab.dataset.key === view));
    this.shown?.close();
    this.shown = new PANELS[view](this.id, this.summary, (error) => this.panel.prepend(failure(error)));
    this.panel.replaceChildren(this.shown.element);
    this.list = this.shown.navigation;
    attach(this.list, this.keys);
    replace("correlation", this.id, view === "tree" ? {} : { view });
  }

  close() {
    this.shown?.close();
  }
}
