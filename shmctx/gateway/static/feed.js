// The live feed: one WebSocket, opened again when it breaks, going on after the last event that came.

import { ApiError, get, query } from "./api.js";

const FIRST_PAUSE = 400; // ms until the connection is tried again, doubled up to
const LAST_PAUSE = 10_000;
const REFUSED = 1008; // the close code for filters that cannot be

export class Feed {
  /**
   * `filters`: as of /v1/live. Calls `on.events([...])`, `on.missed({first, end})`, `on.state("open" | "waiting")`, and
   * `on.refused(error)` where trying again is of no use.
   */
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
    this.socket.onclose = (end) => this.broken(end);
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
    if (message.error) this.error = message.error;
  }

  broken({ code }) {
    if (this.closed) return;
    this.on.state("waiting");
    const { error } = this;
    this.error = null;
    if (error?.code === "ContextNotFound" && this.since) {
      this.on.missed({ first: this.since, end: null }); // it has expired: go on from now
      this.since = undefined;
    } else if (code === REFUSED) {
      this.close();
      this.on.refused(new ApiError(400, error ?? {}));
      return;
    }
    // A handshake that was refused says no reason to a page; a request does, and brings the login back.
    if (!this.opened) get("/v1/stats").catch(() => {});
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
