// On a small screen the parts of the page take turns.

import { element } from "./page";

export function startViews(): void {
  const main = element("main");
  const buttons = [...element("views").querySelectorAll("button")];
  for (const button of buttons) {
    button.addEventListener("click", () => {
      main.dataset.view = button.dataset.view;
      for (const other of buttons) other.setAttribute("aria-pressed", String(other === button));
    });
  }
}
