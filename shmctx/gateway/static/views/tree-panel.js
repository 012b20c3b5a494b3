// The tree of a correlation on the page: rows, their twisties, and the keys that open and close them.

import { h, paint, setAttribute, setText } from "../dom.js";
import { clock, compact, duration } from "../format.js";
import { go, link } from "../router.js";
import { Tree } from "../tree.js";
import { VirtualList } from "../virtual.js";

export class TreePanel {
  constructor(id, summary, failed) {
    this.begin = summary.first;
    this.tree = new Tree(id, () => this.list.reset(this.tree.rows.length), failed);
    this.list = new VirtualList({
      label: "Events by what caused them",
      role: "tree",
      rowRole: "treeitem",
      create: treeRow,
      fill: (row, index) => this.fill(row, index),
      open: (index, click) => this.clicked(index, click),
      range: (first, end) => this.tree.need(first, end),
    });
    this.element = this.list.element;
    this.element.classList.add("tree");
    this.tree.begin(summary.roots);
    this.list.reset(this.tree.rows.length);
    this.navigation = Object.assign(Object.create(this.list), {
      move: (step) => this.list.move(step),
      select: (index) => this.list.select(index),
      openSelected: () => this.openContext(this.list.selected),
      expand: () => this.expand(),
      collapse: () => this.collapse(),
    });
    if (summary.roots.length === 1) this.tree.expand(0);
  }

  fill(row, index) {
    const place = this.tree.rows[index];
    const node = this.tree.node(place);
    row.classList.toggle("coming", !node);
    row.style.setProperty("--level", place.level);
    setAttribute(row, "aria-level", place.level + 1);
    setAttribute(row, "aria-posinset", place.index + 1);
    setAttribute(row, "aria-setsize", Math.max(place.pages.total, place.index + 1));
    setAttribute(row, "aria-expanded", node?.children ? String(place.open) : null);
    fillNode(row, node, this.begin);
  }

  clicked(index, click) {
    if (!click) return this.openContext(index);
    if (this.tree.rows[index].open) this.tree.collapse(index);
    else this.tree.expand(index);
  }

  openContext(index) {
    const node = this.tree.rows[index] && this.tree.node(this.tree.rows[index]);
    if (node) go("context", node.ref);
  }

  /** Open the selected row; of an open one go to its first child. */
  expand() {
    const at = this.list.selected;
    const row = this.tree.rows[at];
    if (!row) this.list.move(1);
    else if (row.open) this.list.move(1);
    else this.tree.expand(at);
  }

  /** Close the selected row; of a closed one go to its parent. */
  collapse() {
    const at = this.list.selected;
    if (this.tree.rows[at]?.open) this.tree.collapse(at);
    else if (this.tree.parent(at) >= 0) this.list.select(this.tree.parent(at));
  }

  close() {
    this.list.close();
  }
}

function treeRow() {
  const row = h("div", { class: "node" });
  row.parts = {
    twisty: h("span", { class: "twisty", "aria-hidden": "true" }),
    name: h("a", { class: "name", tabindex: -1 }),
    children: h("span", { class: "count" }),
    said: h("span", { class: "said" }),
    agent: h("span", { class: "agent" }),
    took: h("span", { class: "took" }),
    time: h("time"),
  };
  row.append(...Object.values(row.parts));
  return row;
}

function fillNode(row, node, begin) {
  const { name, children, said, agent, took, time } = row.parts;
  setText(name, node?.event_name ?? "");
  setAttribute(name, "href", node ? link("context", node.ref) : null);
  setText(children, node?.children ? compact(node.children) : "");
  setText(said, node?.error ?? "");
  row.classList.toggle("wrong", Boolean(node?.error));
  setText(agent, node?.agent_id ?? "");
  paint(agent, node?.agent_id);
  setText(took, duration(node?.duration_ms));
  setText(time, node ? `+${duration(Math.max((node.timestamp - begin) * 1000, 0))}` : "");
  setAttribute(time, "title", node && clock(node.timestamp));
}
