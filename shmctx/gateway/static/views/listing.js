// The events of a query in a list, page after page as somebody scrolls on.

import { get } from "../api.js";
import { EVENT_FIELDS, extend } from "../rows.js";

const PAGE = 500;

export class Listing {
  constructor(list, filters, failed) {
    Object.assign(this, { list, filters, failed, cursor: null, busy: false, done: false });
    list.range = (_, end) => end >= list.length - 50 && this.more();
  }

  async more() {
    if (this.busy || this.done) return;
    this.busy = true;
    try {
      const page = await get("/v1/events", { ...this.filters, fields: EVENT_FIELDS, limit: PAGE, cursor: this.cursor });
      this.cursor = page.next;
      this.done = !page.next;
      extend(this.list, page.items);
    } catch (error) {
      this.done = true;
      this.failed(error);
    } finally {
      this.busy = false;
    }
  }
}
