// An agent: since when, in which conversations, and what it did last.

import { get, path } from "../api.js";
import { h, paint } from "../dom.js";
import { ago, count, moment, tail } from "../format.js";
import { link } from "../router.js";
import { eventList } from "../rows.js";
import { failure, head } from "./parts.js";
import { Listing } from "./listing.js";

export async function show({ id }, signal) {
  const agent = await get(path("agents", id), {}, { signal });
  const list = eventList("The agent's events, newest first");
  const problem = h("div");
  const figures = [
    ["events", count(agent.events)],
    ["first", moment(agent.first)],
    ["last", ago(agent.last), moment(agent.last)],
  ];
  const element = h("section", { class: "view agent-view" },
    head("Agent", id, figures),
    links("Sessions", "session", agent.sessions),
    links("Correlations", "correlation", agent.correlations),
    problem, list.element);
  paint(element, id);
  const listing = new Listing(list, { agent_id: id, newest_first: true }, (error) => problem.replaceChildren(failure(error)));
  listing.more();
  return { element, list, close: () => list.close() };
}

/** Ids as links; an item may be an id or say it beside other things. */
function links(title, view, items = []) {
  const ids = items.map((item) => (typeof item === "string" ? item : item.correlation_id ?? item.id)).filter(Boolean);
  if (!ids.length) return null;
  return h("p", { class: "chips" }, h("span", { class: "chips-title" }, title),
    ids.map((id) => h("a", { class: "chip", href: link(view, id), title: id }, tail(id, 18))));
}
