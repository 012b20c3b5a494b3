// Search by any id: straight to what it is, or what to try instead.

import { get } from "../api.js";
import { h } from "../dom.js";
import { link } from "../router.js";
import { notice } from "./parts.js";

const VIEWS = { context: "context", correlation: "correlation", session: "session", agent: "agent" };

export async function show({ parameters }, signal) {
  const id = parameters.id ?? "";
  const found = await get("/v1/search", { id }, { signal });
  const view = VIEWS[found.kind];
  if (view) location.replace(link(view, found.ref ?? found.id));
  const element = h("section", { class: "view" },
    view ? notice("One moment.") : notice("Nothing has this id.", "It may have expired, or belong to another store."),
    !view && h("p", {}, h("a", { href: link("live", "", { text: id }) }, "Look for events that say it"), " · ",
      h("a", { href: link("live", "", { event_name: id }) }, "Events of that name")));
  return { element };
}
