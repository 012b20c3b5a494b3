// Views by the fragment of the address: #/correlation/ID?view=timeline. The server never sees what is looked at.

/** {view, id, parameters} of the address; {view: "live"} where it says nothing. */
export function current() {
  const [route, search = ""] = location.hash.replace(/^#\/?/, "").split("?", 2);
  const [view, id = ""] = route.split("/", 2);
  return { view: view || "live", id: decode(id), parameters: Object.fromEntries(new URLSearchParams(search)) };
}

function decode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** The address of a view; what has no value is left out. */
export function link(view, id = "", parameters = {}) {
  const given = Object.entries(parameters).filter(([, value]) => value !== undefined && value !== null && value !== "");
  const search = given.length ? `?${new URLSearchParams(given)}` : "";
  return `#/${view}${id ? `/${encodeURIComponent(id)}` : ""}${search}`;
}

/** Go there. */
export function go(view, id, parameters) {
  location.hash = link(view, id, parameters);
}

/** Say in the address what the view shows, without a step in the history and without a new view. */
export function replace(view, id, parameters) {
  history.replaceState(null, "", link(view, id, parameters));
}
