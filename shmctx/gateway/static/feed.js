// The live feed: one WebSocket, opened again when it breaks, going on after the last event that came.

import { query } from "./api.js";

const FIRST_PAUSE = 400; // ms until the connection is tried again, doubled up to
const LAST_PAUSE = 10_000;

export class Feed {
  /** `filters`: as of /v1/live. Calls `on.events([...])`, `on.missed({first, end})`, `on.state("open" | "waiting")`. */
  constructor(filters, on) {
    Object.assign(this, { filters, on, pause: FIRST_PAUSE, closed: false });
  }

  /** Open, after the event `since` where one is given. */
  start(since) {
    this.since = since;
    this.connect();
  }

  connect() {
    const address = new URL(`/v1/live${query({ ...this.filters, since: this.since })}`, location.href);
    address.protocol = address.protocol === "https:" ? "wss:" : "ws:";
    this.socket = new WebSocket(address);
    this.opened = false;
    this.socket.onopen = () => {
      this.opened = true;
      this.pause = FIRST_PAUSE;
      this.on.state("open");
    };
    this.socket.onmessage = (message) => this.take(message.data);
    this.socket.onclose = () => this.broken();
  }

  take(text) {
    let message;
    try {
      message = JSON.parse(text);
    } catch {
      return; // not of the gateway's making
    }
    const events = message.events ?? (message.event ? [message.event] : []);
    if (events.length) {
      this.since = events[events.length - 1].ref;
      this.on.events(events);
    }
    if (message.missed) this.on.missed(message.missed);
  }

  broken() {
    if (this.closed) return;
    this.on.state("waiting");
    // A refused handshake says no reason to a page. An event that has expired is one: go on from now.
    if (!this.opened && this.since && this.pause >= FIRST_PAUSE * 4) {
      this.on.missed({ first: this.since, end: null });
      this.since = undefined;
    }
    this.timer = setTimeout(() => this.connect(), this.pause);
    this.pause = Math.min(this.pause * 2, LAST_PAUSE);
  }

  close() {
    this.closed = true;
    clearTimeout(this.timer);
    if (this.socket) {
      this.socket.onclose = this.socket.onmessage = null;
      this.socket.close();
    }
  }
}
