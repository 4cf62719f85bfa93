// Runs before the first paint, so that who has chosen the other colours sees no flash of these.
try {
  const theme = localStorage.getItem("corelay.theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch {
  // No storage: the system's colours.
}
