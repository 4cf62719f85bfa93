// Light and dark: as the system has it, until the switch is used.

import { keep } from "./keep";
import { element } from "./page";

const system = matchMedia("(prefers-color-scheme: dark)");

export function startTheme(): void {
  const button = element<HTMLButtonElement>("theme");
  const label = () => button.setAttribute("aria-label", isDark() ? "Use light colours" : "Use dark colours");
  button.addEventListener("click", () => {
    const theme = isDark() ? "light" : "dark";
    document.documentElement.dataset.theme = theme;
    keep("theme", theme);
    label();
  });
  system.addEventListener("change", label);
  label();
}

function isDark(): boolean {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : system.matches;
}
