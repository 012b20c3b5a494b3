// The page: one view at a time, chosen by the address, and what every view has around it.

import { gate } from "./api.js";
import * as keys from "./keys.js";
import { current, go } from "./router.js";
import * as theme from "./theme.js";
import * as agent from "./views/agent.js";
import * as context from "./views/context.js";
import * as correlation from "./views/correlation.js";
import { toggle as help } from "./views/help.js";
import * as live from "./views/live.js";
import { login } from "./views/login.js";
import { failure, notice } from "./views/parts.js";
import * as search from "./views/search.js";
import * as session from "./views/session.js";
import * as store from "./views/store.js";

const VIEWS = { agent, context, correlation, live, search, session, store };

const main = document.getElementById("main");
const box = document.getElementById("search");
let shown = null;
let coming = new AbortController();
let locked = false;

function leave() {
  coming.abort();
  coming = new AbortController();
  shown?.close?.();
  shown = null;
  keys.attach(null);
}

async function enter() {
  leave();
  const { signal } = coming;
  const route = current();
  const view = Object.hasOwn(VIEWS, route.view) ? VIEWS[route.view] : null;
  locked = false;
  title(route);
  main.setAttribute("aria-busy", "true");
  try {
    const next = view ? await view.show(route, signal) : { element: notice("There is no such view.") };
    if (signal.aborted) return next.close?.();
    if (locked) return;
    shown = next;
    main.replaceChildren(next.element);
    keys.attach(next.list ?? null, next.keys);
  } catch (error) {
    if (!signal.aborted && !locked) main.replaceChildren(failure(error));
  } finally {
    if (!signal.aborted) main.removeAttribute("aria-busy");
  }
}

function title({ view, id }) {
  document.title = id ? `${id} · ${view} · shmctx` : `${view} · shmctx`;
  for (const anchor of document.querySelectorAll("nav [data-view]")) {
    if (anchor.dataset.view === view) anchor.setAttribute("aria-current", "page");
    else anchor.removeAttribute("aria-current");
  }
}

gate.addEventListener("unauthorized", () => {
  if (locked) return;
  leave();
  locked = true;
  main.removeAttribute("aria-busy");
  main.replaceChildren(login(enter));
});

document.querySelector("form.search").addEventListener("submit", (event) => {
  event.preventDefault();
  const id = box.value.trim();
  if (!id) return;
  box.blur();
  box.value = "";
  go("search", "", { id });
});

const turn = theme.start(document.getElementById("theme"));
document.getElementById("help").addEventListener("click", help);
window.addEventListener("hashchange", enter);
keys.listen({ "/": () => box.focus(), "?": help, t: turn, v: () => go("live"), s: () => go("store") });
enter();
