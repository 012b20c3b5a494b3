// Small live charts in SVG: a line over the last minutes, bars over the last seconds, a ring.

import { h, s, setText } from "./dom.js";

const WIDTH = 300;
const HEIGHT = 64;
const FEWEST = 30; // samples across the width

/** A figure and its course. `series`: names of its lines; `show(value)` writes a number; `least`: the axis' least top. */
export class LineChart {
  constructor({ label, series = ["value"], show, least = 1, samples = 120, top = null }) {
    Object.assign(this, { label, series, show, least, samples, top });
    this.values = series.map(() => []);
    this.lines = series.map((_, index) => s("path", { class: `line line-${index}` }));
    this.area = s("path", { class: "area" });
    this.figure = h("strong");
    this.scale = h("span", { class: "scale" });
    this.picture = s("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img" }, this.area, this.lines);
    const legend = series.length > 1 && h("span", { class: "legend" }, series.map((name, index) => h("i", { class: `line-${index}` }, name)));
    this.element = h("figure", { class: "chart" }, h("figcaption", {}, h("span", {}, label), this.figure), this.picture, legend, this.scale);
  }

  /** One sample of every series; null where there is none. */
  push(...sample) {
    sample.forEach((value, index) => {
      const values = this.values[index];
      values.push(value);
      if (values.length > this.samples) values.shift();
    });
    this.draw();
  }

  draw() {
    const known = this.values.flat().filter(Number.isFinite);
    const top = this.top ?? Math.max(this.least, ...known) * 1.1;
    this.values.forEach((values, index) => this.lines[index].setAttribute("d", this.course(values, top)));
    const first = this.values[0];
    const line = this.course(first, top);
    this.area.setAttribute("d", line && `${line}V${HEIGHT}H${this.x(first.findIndex(Number.isFinite), first.length)}Z`);
    const last = first[first.length - 1];
    setText(this.figure, Number.isFinite(last) ? this.show(last) : "–");
    setText(this.scale, this.show(top));
    this.picture.setAttribute("aria-label", `${this.label}: ${this.figure.textContent}`);
  }

  x(index, length) {
    const span = Math.max(length, FEWEST); // a young chart spans a short time
    return (((span - length + index) / (span - 1)) * WIDTH).toFixed(1);
  }

  course(values, top) {
    let path = "";
    values.forEach((value, index) => {
      if (!Number.isFinite(value)) return;
      const y = (HEIGHT - 1 - (Math.min(value, top) / top) * (HEIGHT - 4)).toFixed(1);
      path += `${path ? "L" : "M"}${this.x(index, values.length)} ${y}`;
    });
    return path;
  }
}

/** Bars of the last `samples` counts, without axes. */
export class Bars {
  constructor(label, samples = 60) {
    this.counts = new Array(samples).fill(0);
    this.bars = this.counts.map((_, index) => s("rect", { x: index * 3, width: 2 }));
    this.element = s("svg", { class: "bars", viewBox: `0 0 ${samples * 3} 20`, preserveAspectRatio: "none", role: "img", "aria-label": label }, this.bars);
  }

  push(count) {
    this.counts.push(count);
    this.counts.shift();
    const top = Math.max(1, ...this.counts);
    this.counts.forEach((value, index) => {
      const height = value ? Math.max(1, (value / top) * 20) : 0;
      this.bars[index].setAttribute("y", (20 - height).toFixed(1));
      this.bars[index].setAttribute("height", height.toFixed(1));
    });
  }
}

const RADIUS = 42;
const AROUND = 2 * Math.PI * RADIUS;

/** The ring: what readers find in memory, what the database does not have yet, and where the next put goes. */
export class RingPicture {
  constructor() {
    const arc = (name) => s("circle", { class: `arc ${name}`, cx: 50, cy: 50, r: RADIUS });
    this.kept = arc("kept");
    this.waiting = arc("waiting");
    this.head = s("line", { class: "head", x1: 50, x2: 50, y1: 1, y2: 15 });
    this.text = s("text", { x: 50, y: 50 });
    this.under = s("text", { class: "under", x: 50, y: 62 });
    this.element = s("svg", { class: "ring", viewBox: "0 0 100 100", role: "img" }, arc("all"), this.kept, this.waiting, this.head, this.text, this.under);
  }

  /** `positions` and `capacity` in granules. */
  draw({ reserved, head, drained, tail }, capacity) {
    this.arc(this.kept, tail, drained, capacity);
    this.arc(this.waiting, drained, head, capacity);
    this.head.setAttribute("transform", `rotate(${((head % capacity) / capacity) * 360} 50 50)`);
    const share = Math.min((reserved - tail) / capacity, 1);
    setText(this.text, `${(share * 100).toFixed(share < 0.1 ? 1 : 0)} %`);
    setText(this.under, "in memory");
    this.element.setAttribute("aria-label", `${(share * 100).toFixed(1)} % of the ring holds events`);
  }

  arc(circle, from, to, capacity) {
    const length = (Math.min(Math.max(to - from, 0), capacity) / capacity) * AROUND;
    circle.setAttribute("stroke-dasharray", `${length.toFixed(2)} ${(AROUND - length).toFixed(2)}`);
    circle.setAttribute("transform", `rotate(${((from % capacity) / capacity) * 360 - 90} 50 50)`);
  }
}
