// A list of any length of which only the rows in view are elements. All rows are equally high.

import { h, setAttribute } from "./dom.js";

const OVERSCAN = 8; // rows beyond either edge
let lists = 0;

/**
 * `create()` makes an empty row, `fill(row, index)` shows an item in it, `open(index)` is what Enter and a click do,
 * `range(first, end)` hears which rows are in view.
 */
export class VirtualList {
  constructor({ label, role = "listbox", rowRole = "option", create, fill, open, range = () => {} }) {
    Object.assign(this, { create, fill, open, range, rowRole });
    this.id = `list${++lists}`;
    this.length = 0;
    this.selected = -1;
    this.rows = new Map(); // index -> element
    this.spare = [];
    this.body = h("div", { class: "virtual-body", role: "presentation" });
    this.element = h("div", { class: "virtual", role, tabindex: 0, "aria-label": label }, this.body);
    this.element.addEventListener("scroll", () => this.schedule(), { passive: true });
    this.element.addEventListener("click", (event) => this.clicked(event));
    this.observer = new ResizeObserver(() => this.measure());
    this.observer.observe(this.element);
    this.rowHeight = 0;
  }

  measure() {
    const height = parseFloat(getComputedStyle(this.element).getPropertyValue("--row")) || 32;
    if (height !== this.rowHeight) {
      this.rowHeight = height;
      this.rows.forEach((row) => this.release(row));
      this.rows.clear();
      this.resize(this.length);
    }
    this.render();
  }

  /** Show this many items, whatever they are now. */
  reset(length) {
    this.resize(length);
    if (this.selected >= length) this.selected = length - 1;
    this.refresh();
  }

  /** Fill the rows in view again. */
  refresh() {
    this.rows.forEach((row, index) => index < this.length && this.show(row, index));
    this.schedule();
  }

  /** `number` items came before the first one: whoever has scrolled down keeps looking at the same rows. */
  prepended(number, length) {
    this.resize(length);
    if (this.selected >= 0) this.selected = Math.min(this.selected + number, length - 1);
    if (this.element.scrollTop > this.rowHeight / 2) this.element.scrollTop += number * this.rowHeight;
    this.refresh();
  }

  /** At once, not with the next frame: a key that comes before it scrolls as far as the list goes now. */
  resize(length) {
    this.length = length;
    this.body.style.height = `${length * this.rowHeight}px`;
  }

  schedule() {
    this.frame ??= requestAnimationFrame(() => {
      this.frame = null;
      this.render();
    });
  }

  render() {
    if (!this.rowHeight || !this.element.isConnected) return;
    const { scrollTop, clientHeight } = this.element;
    const first = Math.max(0, Math.floor(scrollTop / this.rowHeight) - OVERSCAN);
    const end = Math.min(this.length, Math.ceil((scrollTop + clientHeight) / this.rowHeight) + OVERSCAN);
    for (const [index, row] of this.rows) {
      if (index < first || index >= end) {
        this.rows.delete(index);
        this.release(row);
      }
    }
    for (let index = first; index < end; index++) {
      if (!this.rows.has(index)) this.take(index);
    }
    for (const row of this.spare.splice(0)) row.remove();
    this.range(first, end);
  }

  take(index) {
    const row = this.spare.pop() ?? this.create();
    row.classList.add("row");
    row.setAttribute("role", this.rowRole);
    row.style.transform = `translateY(${index * this.rowHeight}px)`;
    this.rows.set(index, row);
    this.show(row, index);
    if (!row.isConnected) this.body.append(row);
  }

  release(row) {
    this.spare.push(row);
  }

  show(row, index) {
    row.id = `${this.id}-${index}`;
    row.dataset.index = index;
    setAttribute(row, "aria-setsize", this.length);
    setAttribute(row, "aria-posinset", index + 1);
    setAttribute(row, "aria-selected", index === this.selected ? "true" : "false");
    this.fill(row, index);
  }

  clicked(event) {
    const row = event.target.closest(".row");
    if (!row || event.target.closest("a")) return;
    const index = Number(row.dataset.index);
    this.select(index);
    this.open(index, event);
  }

  // ---- keyboard ----

  select(index) {
    const before = this.rows.get(this.selected);
    if (before) setAttribute(before, "aria-selected", "false");
    this.selected = Math.max(0, Math.min(index, this.length - 1));
    if (!this.length) this.selected = -1;
    this.reveal(this.selected);
    const row = this.rows.get(this.selected);
    if (row) setAttribute(row, "aria-selected", "true");
    setAttribute(this.element, "aria-activedescendant", row?.id);
  }

  reveal(index) {
    const top = index * this.rowHeight;
    const { scrollTop, clientHeight } = this.element;
    if (top < scrollTop) this.element.scrollTop = top;
    else if (top + this.rowHeight > scrollTop + clientHeight) this.element.scrollTop = top + this.rowHeight - clientHeight;
    this.render();
  }

  move(step) {
    this.element.focus({ preventScroll: true });
    this.select(this.selected < 0 && step > 0 ? 0 : this.selected + step);
  }

  movePage(step) {
    this.move(step * Math.max(1, Math.floor(this.element.clientHeight / this.rowHeight) - 1));
  }

  openSelected() {
    if (this.selected >= 0) this.open(this.selected);
  }

  close() {
    this.observer.disconnect();
    cancelAnimationFrame(this.frame);
  }
}
