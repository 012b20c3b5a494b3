// The store itself: how full the ring is, what goes in and out, how far the database is behind, who leads.

import { get } from "../api.js";
import { LineChart, RingPicture } from "../chart.js";
import { h, setText } from "../dom.js";
import { ago, bytes, compact, count, duration } from "../format.js";
import { failure, head } from "./parts.js";

const PERIOD = 1000; // ms
const GRANULE = 64; // bytes; what positions count

export async function show(_, signal) {
  return new StoreView(await get("/v1/stats", {}, { signal }));
}

class StoreView {
  constructor(stats) {
    const rate = (value) => `${compact(value)}/s`;
    this.ring = new RingPicture();
    this.charts = {
      puts: new LineChart({ label: "Puts", show: rate, least: 10 }),
      reads: new LineChart({ label: "Reads", series: ["memory", "database", "missed"], show: rate, least: 10 }),
      lag: new LineChart({ label: "Not yet in the database", show: (value) => bytes(Math.round(value)), least: 4096 }),
      age: new LineChart({ label: "Oldest of that", show: (value) => duration(value * 1000), least: 0.1 }),
      written: new LineChart({ label: "Written to the database", show: (value) => `${bytes(Math.round(value))}/s`, least: 4096 }),
      waits: new LineChart({ label: "Waits for the lock, for space", series: ["lock", "space"], show: rate, least: 5 }),
    };
    this.facts = h("dl", { class: "fields" });
    this.leader = h("div", { class: "leader" });
    this.problem = h("div");
    this.element = h("section", { class: "view store" },
      head("Store", { id: stats.name }), this.problem,
      h("div", { class: "gauges" },
        h("section", { class: "card ring-card" }, h("h2", {}, "Ring"), this.ring.element, legend()),
        h("section", { class: "card" }, h("h2", {}, "Leader"), this.leader),
        h("section", { class: "card" }, h("h2", {}, "Sizes"), this.facts)),
      h("div", { class: "charts" }, Object.values(this.charts).map((chart) => h("section", { class: "card" }, chart.element))));
    this.take(stats);
    this.timer = setInterval(() => this.poll(), PERIOD);
  }

  async poll() {
    if (document.hidden || this.asking) return;
    this.asking = true;
    try {
      this.take(await get("/v1/stats"));
      this.problem.replaceChildren();
    } catch (error) {
      this.problem.replaceChildren(failure(error));
    } finally {
      this.asking = false;
    }
  }

  take(stats) {
    const now = performance.now();
    const before = this.before;
    const seconds = before && (now - before.now) / 1000;
    const rate = (pick) => (seconds ? Math.max(0, pick(stats) - pick(before.stats)) / seconds : null);
    const counter = (name) => rate((one) => one.counters[name]);
    this.ring.draw(stats.positions, stats.ring_bytes / GRANULE);
    this.charts.puts.push(counter("puts"));
    this.charts.reads.push(counter("hot_hits"), counter("cold_hits"), counter("misses"));
    this.charts.lag.push(stats.lag_bytes);
    this.charts.age.push(stats.oldest_undrained_seconds ?? 0);
    this.charts.written.push(rate((one) => one.positions.drained * GRANULE));
    this.charts.waits.push(counter("lock_waits"), counter("space_waits"));
    this.showLeader(stats.leader);
    this.showFacts(stats);
    this.before = { now, stats };
  }

  showLeader(leader) {
    const alive = leader?.alive;
    const lines = leader
      ? [["process", String(leader.pid)], ["epoch", count(leader.epoch)], ["last drained", leader.last_drain_ns ? ago(leader.last_drain_ns / 1e9) : "never"], leader.error && ["error", leader.error]]
      : [];
    this.leader.replaceChildren(
      h("p", { class: `status ${alive ? "ok" : "wrong"}` }, leader ? (alive ? "alive" : "dead: the next process takes over") : "nobody leads"),
      h("dl", { class: "fields" }, lines.filter(Boolean).flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)])));
  }

  showFacts(stats) {
    const facts = {
      state: stats.state,
      processes: count(stats.participants),
      ring: `${bytes(stats.used_bytes)} of ${bytes(stats.ring_bytes)}`,
      database: `${bytes(stats.database_bytes)} + ${bytes(stats.wal_bytes)} log`,
      "event log": stats.log_bytes === null ? "none" : `${bytes(stats.log_bytes)} in ${count(stats.log_segments)}`,
      puts: count(stats.counters.puts),
      repairs: count(stats.counters.repairs),
      failovers: count(stats.counters.failovers),
    };
    if (this.facts.childElementCount === 0) {
      this.facts.append(...Object.keys(facts).flatMap((name) => [h("dt", {}, name), h("dd")]));
    }
    Object.values(facts).forEach((value, index) => setText(this.facts.children[index * 2 + 1], value));
  }

  close() {
    clearInterval(this.timer);
  }
}

function legend() {
  return h("p", { class: "legend" }, h("i", { class: "kept" }, "in the database too"), h("i", { class: "waiting" }, "in memory only"));
}
