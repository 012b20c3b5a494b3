// The keyboard. A view registers its list; letters mean nothing while somebody types.

const TYPING = new Set(["INPUT", "TEXTAREA", "SELECT"]);

let list = null; // what j, k, the arrows and Enter act on
const extra = new Map(); // a view's own keys

/** The list of the view that is shown now, and its own keys: {" ": pause}. */
export function attach(navigable, keys = {}) {
  list = navigable;
  extra.clear();
  for (const [key, action] of Object.entries(keys)) extra.set(key, action);
}

const MOVES = {
  j: (rows) => rows.move(1), ArrowDown: (rows) => rows.move(1),
  k: (rows) => rows.move(-1), ArrowUp: (rows) => rows.move(-1),
  PageDown: (rows) => rows.movePage(1), PageUp: (rows) => rows.movePage(-1),
  Home: (rows) => rows.select(0), End: (rows) => rows.select(Infinity),
  l: (rows) => rows.expand?.(), ArrowRight: (rows) => rows.expand?.(),
  h: (rows) => rows.collapse?.(), ArrowLeft: (rows) => rows.collapse?.(),
  Enter: (rows) => rows.openSelected(), o: (rows) => rows.openSelected(),
};

/** `global`: keys that work in every view. */
export function listen(global) {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    if (TYPING.has(event.target.tagName)) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    const control = event.target.closest("a, button, summary, dialog, [role=tab]");
    if (control && (event.key === "Enter" || event.key === " " || control.matches("dialog, [role=tab]"))) return;
    const move = list && MOVES[event.key];
    const action = extra.get(event.key) ?? (move ? () => move(list) : global[event.key]);
    if (!action) return;
    event.preventDefault();
    action();
  });
}
