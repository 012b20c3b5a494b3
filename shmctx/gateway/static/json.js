// A JSON value to look into: objects and lists open and close, long ones show their begin first.

import { h } from "./dom.js";
import { count, inline, plural } from "./format.js";

const SHOWN = 100; // entries of one object or list before "more"
const OPEN_LEVELS = 2;

/** An element that shows `value`. What lies below a closed part is made when it is opened. */
export function json(value, level = 0) {
  if (value === null || typeof value !== "object") return scalar(value);
  const entries = Array.isArray(value) ? [...value.entries()] : Object.entries(value);
  if (!entries.length) return h("span", { class: "json-none" }, Array.isArray(value) ? "[]" : "{}");
  const kind = Array.isArray(value) ? plural(entries.length, "item") : plural(entries.length, "field");
  const details = h("details", { class: "json", open: level < OPEN_LEVELS && entries.length <= SHOWN });
  details.append(h("summary", {}, h("span", { class: "json-kind" }, kind), h("span", { class: "json-brief" }, inline(value, 90))));
  const build = () => details.childElementCount === 1 && details.append(list(entries, level));
  if (details.open) build();
  details.addEventListener("toggle", () => details.open && build());
  return details;
}

function list(entries, level) {
  const items = h("dl", { class: "json-entries" });
  const more = h("button", { type: "button", class: "quiet" });
  let shown = 0;
  const add = () => {
    for (const [key, value] of entries.slice(shown, shown + SHOWN)) {
      items.append(h("dt", {}, String(key)), h("dd", {}, json(value, level + 1)));
    }
    shown = Math.min(shown + SHOWN, entries.length);
    more.textContent = `Show more of ${count(entries.length - shown)}`;
    more.hidden = shown === entries.length;
  };
  more.addEventListener("click", add);
  add();
  return h("div", {}, items, more);
}

function scalar(value) {
  const kind = value === null ? "null" : typeof value;
  return h("span", { class: `json-${kind}` }, value === null ? "null" : String(value));
}
