// What several views are made of.

import { ApiError } from "../api.js";
import { h, paint } from "../dom.js";
import { link } from "../router.js";

/** The head of a view about one thing: what it is, its name or id, and figures beside it. */
export function head(kind, { id, name = null }, figures = [], ...more) {
  const spelled = [h("code", {}, id), copyButton(id)];
  return h(
    "header", { class: "head" },
    h("p", { class: "kind" }, kind),
    h("h1", {}, name ?? spelled),
    name !== null && h("p", { class: "spelled" }, spelled),
    figures.length > 0 && h("dl", { class: "figures" }, figures.filter(Boolean).map(([name, value, title]) => figure(name, value, title))),
    ...more,
  );
}

function figure(name, value, title) {
  return h("div", { title }, h("dt", {}, name), h("dd", {}, value));
}

function copyButton(text) {
  const button = h("button", { type: "button", class: "quiet copy", title: "Copy" }, "Copy");
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "Copied";
    } catch {
      button.textContent = "Not permitted";
    }
    setTimeout(() => (button.textContent = "Copy"), 1500);
  });
  return button;
}

/** Agents as links, each in its colour. */
export function agents(names) {
  return h("p", { class: "chips" }, names.map((name) => {
    const chip = h("a", { class: "agent", href: link("agent", name) }, name);
    paint(chip, name);
    return chip;
  }));
}

/** What somebody reads who sees nothing else. */
export function notice(title, text = "", kind = "") {
  return h("section", { class: `notice ${kind}`, role: kind === "wrong" ? "alert" : "status" }, h("h2", {}, title), text && h("p", {}, text));
}

/** An error of the gateway, or its absence. */
export function failure(error) {
  if (error instanceof ApiError) return notice(error.message, error.hint, "wrong");
  return notice("The gateway does not answer.", "Is it still running? This page goes on as soon as it is.", "wrong");
}

/** Tabs over panels: `tabs` is [[key, label], ...]; `choose(key)` shows one. */
export function tabs(label, list, chosen, choose) {
  const buttons = list.map(([key, text]) =>
    h("button", { type: "button", role: "tab", "data-key": key, onclick: () => select(key) }, text));
  const select = (key) => {
    for (const button of buttons) {
      const on = button.dataset.key === key;
      button.setAttribute("aria-selected", on);
      button.tabIndex = on ? 0 : -1;
    }
    choose(key);
  };
  const element = h("div", { class: "tabs", role: "tablist", "aria-label": label }, buttons);
  element.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step) return;
    const next = buttons[(buttons.indexOf(document.activeElement) + step + buttons.length) % buttons.length];
    next.focus();
    select(next.dataset.key);
  });
  select(chosen);
  return element;
}
