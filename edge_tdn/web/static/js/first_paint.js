// A classic script in the head: sets the chosen theme before anything is painted.
(() => {
  try {
    const theme = localStorage.getItem("edge-tdn-theme");
    if (theme === "dark" || theme === "light") document.documentElement.dataset.theme = theme;
  } catch {
    // Storage is blocked: the theme of the system applies.
  }
})();
