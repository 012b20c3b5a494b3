// The token that opens the gateway. It goes into a cookie that no script can read, and is kept nowhere else.

import { post } from "../api.js";
import { h } from "../dom.js";

/** A form that calls `entered()` once the gateway has accepted the token. */
export function login(entered) {
  const input = h("input", { type: "password", name: "token", autocomplete: "off", required: true, "aria-label": "Token", placeholder: "Token" });
  const said = h("p", { class: "error-line", role: "alert", hidden: true });
  const form = h("form", { class: "card" }, h("h1", {}, "This store asks for its token"),
    h("p", {}, "The gateway wrote it to a file that only its user can read, and named the file when it started."),
    input, said, h("button", { type: "submit", class: "primary" }, "Open"));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      await post("/v1/login", { token: input.value.trim() });
      entered();
    } catch (error) {
      said.textContent = error.status === 401 ? "That is not the token." : error.message;
      said.hidden = false;
      input.select();
    }
  });
  queueMicrotask(() => input.focus());
  return h("section", { class: "view login" }, form);
}
