// Runs before the first paint, so that a dark page never flashes light and the navigation never jumps.
(() => {
  const kept = (name) => { try { return localStorage.getItem(name); } catch { return null; /* storage may be off */ } };
  const theme = kept("theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
  if (kept("navigation") === "narrow") document.documentElement.dataset.navigation = "narrow";
})();
