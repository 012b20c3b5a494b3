// An agent: since when, in which conversations, and what it did last.

import { get, path } from "../api.js";
import { h, paint } from "../dom.js";
import { ago, count, moment, plural, tail } from "../format.js";
import { link } from "../router.js";
import { eventList } from "../rows.js";
import { failure, head } from "./parts.js";
import { Listing } from "./listing.js";

export async function show({ id }, signal) {
  const agent = await get(path("agents", id), {}, { signal });
  const list = eventList("The agent's events, newest first");
  const problem = h("div");
  const figures = [
    ["events", agent.complete ? count(agent.events) : `more than ${count(agent.events)}`],
    ["first", moment(agent.first)],
    ["last", ago(agent.last), moment(agent.last)],
  ];
  const element = h("section", { class: "view agent-view" },
    head("Agent", { id }, figures),
    links("Sessions", agent.sessions.map((session) => [link("session", session), tail(session, 18), session])),
    links("Correlations", agent.correlations.map(conversation)),
    problem, list.element);
  paint(element, id);
  const listing = new Listing(list, { agent_id: id, newest_first: true }, (error) => problem.replaceChildren(failure(error)));
  listing.more();
  return { element, list, close: () => list.close() };
}

function conversation({ correlation_id: id, event_name: name, events, errors }) {
  const wrong = errors ? `, ${plural(errors, "error")}` : "";
  return [link("correlation", id), `${name} ${tail(id, 6)}`, `${id}\n${plural(events, "event")} of this agent${wrong}`];
}

/** Links in a line: [address, text, title]. */
function links(title, items) {
  if (!items.length) return null;
  return h("p", { class: "chips" }, h("span", { class: "chips-title" }, title),
    items.map(([href, text, said]) => h("a", { href, title: said }, text)));
}
