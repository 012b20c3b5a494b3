// A session: what is known of it, who took part, and the conversation in order.

import { get, path } from "../api.js";
import { h } from "../dom.js";
import { count, duration, moment } from "../format.js";
import { json } from "../json.js";
import { eventList } from "../rows.js";
import { agents, failure, head } from "./parts.js";
import { Listing } from "./listing.js";

export async function show({ id }, signal) {
  const session = await get(path("sessions", id), {}, { signal });
  const list = eventList("The session's events");
  const problem = h("div");
  const { first_activity: first, last_activity: last } = session;
  const figures = [
    ["events", count(session.events.length)],
    ["lasted", duration((last - first) * 1000)],
    ["began", moment(first)],
    session.response_refs.length > 0 && ["responses", count(session.response_refs.length)],
  ];
  const element = h("section", { class: "view session" },
    head("Session", { id }, figures, agents(session.agents)),
    h("section", { class: "card" }, json(session.data)),
    problem, list.element);
  const listing = new Listing(list, { session_id: id }, (error) => problem.replaceChildren(failure(error)));
  listing.more();
  return { element, list, close: () => list.close() };
}
