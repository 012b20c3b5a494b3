// A correlation as a tree: children are asked for when their parent is opened, page by page as they come into view.

import { get, path } from "./api.js";
import { Pages } from "./pages.js";

/**
 * The rows of a tree that are to be seen, in order. A row is {pages, level, index, open, children}: its node is
 * the item at `index` of its parent's children, known once their page is here.
 */
export class Tree {
  constructor(correlation, changed, failed) {
    Object.assign(this, { correlation, changed, failed });
    this.rows = [];
  }

  /** Begin with the first roots, which the correlation's summary has; are there more, they follow. */
  begin(roots) {
    const pages = this.pages(null);
    pages.items = [...roots];
    pages.total = roots.length;
    const children = roots.map((_, index) => this.row(pages, 0, index));
    this.rows = [...children];
    if (roots.length > 1) this.counted({ pages, level: -1, open: true, children });
  }

  pages(parent) {
    const address = path("correlations", this.correlation, "nodes");
    const fetchPage = (offset, limit) => get(address, { parent, offset, limit });
    return new Pages(fetchPage, { changed: () => this.changed(), failed: this.failed });
  }

  row(pages, level, index) {
    return { pages, level, index, open: false, children: null };
  }

  /** The node of a row; undefined while it is on its way. */
  node(row) {
    return row.pages.at(row.index);
  }

  /** Ask for what the rows from `first` to before `end` show. */
  need(first, end) {
    for (const row of this.rows.slice(first, end)) {
      if (!this.node(row)) row.pages.need(row.index, row.index + 1).catch(() => {});
    }
  }

  /** Show the children of the row at `at`; they were counted before, so their rows are there at once. */
  async expand(at) {
    const row = this.rows[at];
    const node = row && this.node(row);
    if (!node?.children || row.open) return;
    row.open = true;
    if (!row.children) {
      const pages = this.pages(node.ref);
      row.children = Array.from({ length: node.children }, (_, index) => this.row(pages, row.level + 1, index));
    }
    this.rows = [...this.rows.slice(0, at + 1), ...this.visible(row), ...this.rows.slice(at + 1)];
    this.changed();
    await this.counted(row);
  }

  /** Children may have come since their parent was told of. */
  async counted(row) {
    const { pages } = row.children[0];
    await pages.need(0, 1).catch(() => {});
    const more = pages.total - row.children.length;
    if (more <= 0 || !row.open) return;
    const at = this.rows.indexOf(row) + this.below(row);
    const added = Array.from({ length: more }, (_, index) => this.row(pages, row.level + 1, row.children.length + index));
    row.children.push(...added);
    this.rows = [...this.rows.slice(0, at + 1), ...added, ...this.rows.slice(at + 1)];
    this.changed();
  }

  /** The rows to be seen below an open row. */
  visible(row) {
    return row.children.flatMap((child) => (child.open ? [child, ...this.visible(child)] : [child]));
  }

  /** How many there are. */
  below(row) {
    return row.open ? row.children.reduce((sum, child) => sum + 1 + this.below(child), 0) : 0;
  }

  /** Hide the children of the row at `at`; they stay open inside, as they were. */
  collapse(at) {
    const row = this.rows[at];
    if (!row?.open) return;
    const hidden = this.below(row);
    row.open = false;
    this.rows = [...this.rows.slice(0, at + 1), ...this.rows.slice(at + 1 + hidden)];
    this.changed();
  }

  /** The index of the parent's row; -1 for a root. */
  parent(at) {
    const level = this.rows[at]?.level ?? 0;
    for (let above = at - 1; above >= 0; above--) if (this.rows[above].level < level) return above;
    return -1;
  }
}
