// Events one below the other: the rows that live, session, agent and context views share.

import { h, paint, setAttribute, setText } from "./dom.js";
import { clock, inline, moment } from "./format.js";
import { go, link } from "./router.js";
import { VirtualList } from "./virtual.js";

/** What rows show, as a list of fields. */
export const EVENT_FIELDS = "ref,timestamp,event_name,agent_id,correlation_id,error,error_type,error_message,data";

/** The same of a context under its wire names. */
export function fromWire(context) {
  return {
    ref: context._ref,
    event_name: context._event_name,
    timestamp: context._event_timestamp,
    agent_id: context._agent_id,
    correlation_id: context._correlation_id,
    error: context._error,
    error_type: context._error_type,
    error_message: context._error_message,
    duration_ms: context._duration_ms,
  };
}

/** What went wrong, in one line; "" where nothing did. */
export function errorText(event) {
  const said = [event.error_type, event.error_message, event.error].filter((part) => part && part !== true);
  return said.length ? [...new Set(said.map((part) => inline(part)))].join(": ") : event.error ? "error" : "";
}

/** An empty row. */
export function eventRow() {
  const row = h("div", { class: "event" });
  row.parts = {
    time: h("time"),
    name: h("a", { class: "name", tabindex: -1 }),
    agent: h("span", { class: "agent" }),
    said: h("span", { class: "said" }),
  };
  row.append(...Object.values(row.parts));
  return row;
}

/** An event in a row of `eventRow`. */
export function fillEventRow(row, event) {
  const { time, name, agent, said } = row.parts;
  const wrong = errorText(event);
  setText(time, clock(event.timestamp));
  setAttribute(time, "title", moment(event.timestamp));
  setText(name, event.event_name ?? "");
  setAttribute(name, "href", link("context", event.ref));
  setText(agent, event.agent_id ?? "");
  setAttribute(agent, "title", event.agent_id);
  paint(agent, event.agent_id);
  setText(said, wrong || inline(event.data));
  row.classList.toggle("wrong", Boolean(wrong));
}

/** A list of events that are all here. */
export function eventList(label, events = []) {
  const list = new VirtualList({
    label,
    create: eventRow,
    fill: (row, index) => fillEventRow(row, list.items[index]),
    open: (index) => go("context", list.items[index].ref),
  });
  list.items = events;
  list.reset(events.length);
  return list;
}

/** Add the events of a further page. */
export function extend(list, events) {
  list.items.push(...events);
  list.reset(list.items.length);
}
