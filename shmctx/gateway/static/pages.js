// A long list behind an interface that gives it in pages: each page is asked for once, when a row of it is looked at.

/** `fetchPage(offset, limit)` gives {items, total}; `changed()` hears that items came. */
export class Pages {
  constructor(fetchPage, { size = 200, changed = () => {}, failed = () => {} } = {}) {
    Object.assign(this, { fetchPage, size, changed, failed });
    this.items = [];
    this.total = 0;
    this.asked = new Map(); // page -> promise
  }

  /** What is at an index, undefined while it is on its way. */
  at(index) {
    return this.items[index];
  }

  /** See to it that the items from `first` to before `end` are here. */
  need(first, end) {
    const last = Math.floor(Math.max(end - 1, first) / this.size);
    const wanted = [];
    for (let page = Math.floor(first / this.size); page <= last; page++) wanted.push(this.page(page));
    return Promise.all(wanted);
  }

  page(number) {
    if (!this.asked.has(number)) {
      const coming = this.fetchPage(number * this.size, this.size).then((page) => {
        this.total = page.total;
        page.items.forEach((item, index) => (this.items[number * this.size + index] = item));
        this.changed();
        return page;
      });
      coming.catch((error) => {
        this.asked.delete(number); // the next look tries again
        this.failed(error);
      });
      this.asked.set(number, coming);
    }
    return this.asked.get(number);
  }
}
