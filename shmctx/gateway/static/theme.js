// Light, dark, or as the system says. The choice is kept in this browser.

const KEY = "shmctx.theme";
const CHOICES = ["system", "light", "dark"];

function stored() {
  try {
    return localStorage.getItem(KEY) ?? "system";
  } catch {
    return "system"; // storage is switched off
  }
}

let choice = CHOICES.includes(stored()) ? stored() : "system";

function apply(button) {
  if (choice === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = choice;
  button.textContent = { system: "Auto", light: "Light", dark: "Dark" }[choice];
}

/** Bind the switch; returns what turns it. */
export function start(button) {
  const turn = () => {
    choice = CHOICES[(CHOICES.indexOf(choice) + 1) % CHOICES.length];
    try {
      localStorage.setItem(KEY, choice);
    } catch {
      // it holds until the page is left
    }
    apply(button);
  };
  button.addEventListener("click", turn);
  apply(button);
  return turn;
}
