// The keys.

import { h } from "../dom.js";

const KEYS = [
  ["/", "search by any id"],
  ["j k ↓ ↑", "next and previous row"],
  ["Enter", "open the row's event"],
  ["→ ←", "open and close a branch of the tree"],
  ["1 2", "tree, timeline"],
  ["Space", "pause the live stream"],
  ["f", "filters of the live stream"],
  ["v s", "live stream, store"],
  ["t", "light, dark, as the system"],
  ["?", "this list"],
];

const dialog = h("dialog", { class: "keys", "aria-label": "Keys" },
  h("h2", {}, "Keys"),
  h("dl", {}, KEYS.map(([keys, what]) => h("div", {}, h("dt", {}, keys.split(" ").map((key) => h("kbd", {}, key))), h("dd", {}, what)))),
  h("form", { method: "dialog" }, h("button", { class: "primary" }, "Close")));

/** Show it, or hide it again. */
export function toggle() {
  if (!dialog.isConnected) document.body.append(dialog);
  if (dialog.open) dialog.close();
  else dialog.showModal();
}
