// The gateway's HTTP interface: JSON in, JSON out, one form of error.

/** What the gateway answered instead: status, code, message, and what to do. */
export class ApiError extends Error {
  constructor(status, { code = "", message = "", hint = "" } = {}) {
    super(message || `The gateway answered ${status}.`);
    this.name = "ApiError";
    this.status = status;
    this.code = code;
    this.hint = hint || "";
  }
}

/** Listeners of "unauthorized" show the login. */
export const gate = new EventTarget();

const RETRIES = 3;
const PATIENCE = 250; // ms, doubled by every retry

/** `?a=1&b=2` of what has a value. */
export function query(parameters = {}) {
  const given = Object.entries(parameters).filter(([, value]) => value !== undefined && value !== null && value !== "");
  return given.length ? `?${new URLSearchParams(given)}` : "";
}

/** `/v1/contexts/REF/children`, each part escaped. */
export function path(...parts) {
  return `/v1/${parts.map(encodeURIComponent).join("/")}`;
}

async function answer(response) {
  const body = response.headers.get("content-type")?.includes("json") ? await response.json() : {};
  if (response.ok) return body;
  if (response.status === 401) gate.dispatchEvent(new Event("unauthorized"));
  throw new ApiError(response.status, body.error);
}

/** GET. A 429, told by the gateway's limit, is tried again a little later. Raises ApiError; TypeError without network. */
export async function get(address, parameters, { signal } = {}) {
  for (let turn = 0; ; turn++) {
    const response = await fetch(address + query(parameters), { signal, headers: { accept: "application/json" } });
    if (response.status !== 429 || turn === RETRIES) return answer(response);
    await new Promise((resolve) => setTimeout(resolve, PATIENCE * 2 ** turn));
  }
}

/** POST of JSON. */
export async function post(address, body) {
  const headers = { "content-type": "application/json", accept: "application/json" };
  return answer(await fetch(address, { method: "POST", headers, body: JSON.stringify(body) }));
}
