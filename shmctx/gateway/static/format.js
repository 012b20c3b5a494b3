// Numbers, times and values as people read them.

const CLOCK = new Intl.DateTimeFormat(undefined, {
  hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 3, hourCycle: "h23",
});
const FULL = new Intl.DateTimeFormat(undefined, {
  dateStyle: "medium", timeStyle: "medium", hourCycle: "h23",
});
const COUNT = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const SHORT = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

/** 14:03:07.214 in the reader's time zone, of seconds since 1970. */
export function clock(seconds) {
  return Number.isFinite(seconds) ? CLOCK.format(seconds * 1000) : "";
}

/** Date and time. */
export function moment(seconds) {
  return Number.isFinite(seconds) ? FULL.format(seconds * 1000) : "";
}

/** How long ago: 12 s ago, 3 min ago. */
export function ago(seconds) {
  const age = Date.now() / 1000 - seconds;
  return Number.isFinite(age) ? `${duration(Math.max(age, 0) * 1000, 0)} ago` : "never";
}

/** 0.4 ms, 12 ms, 3.2 s, 4 min, of milliseconds; "" where there is none. */
export function duration(ms, digits = 1) {
  if (ms === null || ms === undefined || !Number.isFinite(ms)) return "";
  if (ms < 1) return ms > 0 ? `${ms.toFixed(2)} ms` : "0 ms";
  for (const [size, unit] of [[86400e3, "d"], [3600e3, "h"], [60e3, "min"], [1e3, "s"]]) {
    if (ms >= size) return `${(ms / size).toFixed(ms >= 10 * size ? 0 : digits)} ${unit}`;
  }
  return `${ms.toFixed(ms < 10 ? digits : 0)} ms`;
}

/** 32 MiB. */
export function bytes(number) {
  if (!Number.isFinite(number)) return "";
  for (const [size, unit] of [[2 ** 40, "TiB"], [2 ** 30, "GiB"], [2 ** 20, "MiB"], [2 ** 10, "KiB"]]) {
    if (number >= size) return `${(number / size).toFixed(number >= 10 * size ? 0 : 1)} ${unit}`;
  }
  return `${number} B`;
}

/** 10,000. */
export function count(number) {
  return Number.isFinite(number) ? COUNT.format(number) : "";
}

/** 12.3K. */
export function compact(number) {
  return Number.isFinite(number) ? SHORT.format(number) : "";
}

/** 1 event, 2 events. */
export function plural(number, noun) {
  return `${count(number)} ${noun}${number === 1 ? "" : "s"}`;
}

/** The last characters of an id that is long. */
export function tail(id, length = 8) {
  return id && id.length > length + 2 ? `…${id.slice(-length)}` : id || "";
}

/** A value in one line, cut off. */
export function inline(value, length = 160) {
  if (value === null || value === undefined) return "";
  if (typeof value === "string") return value.slice(0, length);
  if (typeof value !== "object") return String(value);
  if (Array.isArray(value)) return `[${value.slice(0, 4).map((item) => inline(item, 24)).join(", ")}]`.slice(0, length);
  return Object.entries(value).slice(0, 8).map(([key, item]) => `${key}: ${inline(item, 48)}`).join(" · ").slice(0, length);
}
