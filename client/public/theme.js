// Applies the chosen theme before the page is painted; src/lib/theme.ts changes it later.
(() => {
  let choice = null;
  try {
    choice = localStorage.getItem("taskmaster.theme");
  } catch {
    // Storage may be refused; then the system's theme is used.
  }
  const dark =
    choice === "dark" || (choice !== "light" && matchMedia("(prefers-color-scheme: dark)").matches);
  document.documentElement.classList.toggle("dark", dark);
})();
