// The reader's choice of theme. public/theme.js applies it before the first paint.

import { useSyncExternalStore } from "react";

export type Theme = "system" | "light" | "dark";

const KEY = "taskmaster.theme";
const listeners = new Set<() => void>();
const prefersDark = window.matchMedia("(prefers-color-scheme: dark)");

function stored(): Theme {
  try {
    const choice = localStorage.getItem(KEY);
    return choice === "light" || choice === "dark" ? choice : "system";
  } catch {
    return "system";
  }
}

let current = stored();

function apply(): void {
  const dark = current === "dark" || (current === "system" && prefersDark.matches);
  const root = document.documentElement;
  // All at once: colours that fade at different speeds look broken.
  root.classList.add("no-transitions");
  root.classList.toggle("dark", dark);
  window.getComputedStyle(root).getPropertyValue("opacity");
  requestAnimationFrame(() => {
    root.classList.remove("no-transitions");
  });
}

prefersDark.addEventListener("change", apply);

export function setTheme(theme: Theme): void {
  current = theme;
  try {
    if (theme === "system") localStorage.removeItem(KEY);
    else localStorage.setItem(KEY, theme);
  } catch {
    // Storage may be refused; the choice then lasts as long as the page.
  }
  apply();
  for (const each of listeners) each();
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

export function useTheme(): Theme {
  return useSyncExternalStore(subscribe, () => current);
}
