// One context: what it says, what was attached to it, where it comes from and what it caused.

import { get, path } from "../api.js";
import { h, paint } from "../dom.js";
import { clock, duration, moment, tail } from "../format.js";
import { json } from "../json.js";
import { link } from "../router.js";
import { errorText, eventList, extend, fromWire } from "../rows.js";
import { failure, head } from "./parts.js";

const PAGE = 200;
const LINKS = {
  _correlation_id: (id) => link("correlation", id),
  _agent_id: (id) => link("agent", id),
  _client_id: (id) => link("agent", id),
  _parent_event_id: (id) => link("context", id),
  _root_event_id: (id) => link("context", id),
  _ref: (id) => link("context", id),
  _event_id: (id) => link("context", id),
  _response_ref: (id) => link("context", id),
};

export async function show({ id }, signal) {
  const event = await get(path("events", id), {}, { signal });
  return new ContextView(event);
}

class ContextView {
  constructor(event) {
    const { context } = event;
    this.ref = event.ref;
    this.list = eventList("What it caused");
    this.element = h("section", { class: "view context" });
    this.above = h("nav", { class: "ancestors", "aria-label": "What led to it" });
    this.below = h("div", { class: "below" });
    const wrong = errorText(fromWire(context));
    const agent = context._agent_id && h("a", { class: "agent", href: link("agent", context._agent_id) }, context._agent_id);
    if (agent) paint(agent, context._agent_id);
    const figures = [
      ["at", clock(event.timestamp), moment(event.timestamp)],
      agent && ["agent", agent],
      ["correlation", h("a", { href: link("correlation", context._correlation_id) }, tail(context._correlation_id, 12))],
      context._session?.id && ["session", h("a", { href: link("session", context._session.id) }, tail(String(context._session.id), 16))],
      context._duration_ms !== undefined && ["handled in", duration(context._duration_ms)],
    ];
    this.element.append(
      this.above,
      head("Event", { id: event.ref, name: event.event_name }, figures),
      wrong ? h("p", { class: "error-line", role: "alert" }, wrong) : "",
      h("div", { class: "halves" },
        h("section", { class: "card" }, h("h2", {}, "Data"), event.data === null ? h("p", { class: "none" }, "Without data.") : json(event.data)),
        h("section", { class: "card" }, h("h2", {}, "Fields"), fields(context))),
      this.below,
    );
    this.lead();
    this.effects();
  }

  /** From the root of the chain to this event. */
  async lead() {
    try {
      const { items } = await get(path("contexts", this.ref, "ancestors"), { limit: 100 });
      const chain = items.map(fromWire).sort((one, other) => one.timestamp - other.timestamp);
      const steps = chain.map((event) => h("a", { href: link("context", event.ref), class: event.error ? "wrong" : "" }, event.event_name));
      this.above.replaceChildren(...steps);
    } catch (error) {
      this.above.replaceChildren(failure(error));
    }
  }

  async effects(cursor) {
    try {
      const page = await get(path("contexts", this.ref, "children"), { limit: PAGE, cursor });
      extend(this.list, page.items.map(fromWire));
      this.showEffects(page.next);
    } catch (error) {
      this.below.replaceChildren(failure(error));
    }
  }

  showEffects(next) {
    const { items } = this.list;
    this.list.element.style.setProperty("--rows", Math.min(items.length, 12));
    const more = next && h("button", { type: "button", onclick: () => this.effects(next) }, "More");
    this.below.replaceChildren(
      h("h2", {}, items.length ? `Caused ${items.length}${next ? "+" : ""}` : "Caused nothing"),
      ...(items.length ? [this.list.element] : []), ...(more ? [more] : []));
  }

  close() {
    this.list.close();
  }
}

function fields(context) {
  const rows = Object.entries(context).map(([name, value]) => {
    const address = typeof value === "string" ? LINKS[name]?.(value) : name === "_session" && value?.id && link("session", String(value.id));
    const shown = typeof value === "string" && address ? h("a", { href: address }, value) : json(value, name === "_session" ? 0 : 1);
    return [h("dt", {}, name), h("dd", {}, shown)];
  });
  return h("dl", { class: "fields" }, rows.flat());
}
