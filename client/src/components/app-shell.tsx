import { Link } from "@tanstack/react-router";
import { BookOpen, LayoutDashboard, ListTodo, SquarePen, type LucideIcon } from "lucide-react";
import type { ReactNode } from "react";
import { ConnectionIndicator } from "./connection-indicator";
import { ThemeToggle } from "./theme-toggle";

const PAGES = [
  { to: "/", label: "Dashboard", icon: LayoutDashboard },
  { to: "/tasks", label: "Tasks", icon: ListTodo },
  { to: "/schedule", label: "Schedule", icon: SquarePen },
] as const satisfies readonly { to: string; label: string; icon: LucideIcon }[];

/** Navigation and page: a side bar where there is room, a bar on top where there is not. */
export function AppShell({ children }: { children: ReactNode }) {
  return (
    <div className="min-h-dvh lg:grid lg:grid-cols-[13rem_minmax(0,1fr)]">
      <a
        href="#main"
        className="sr-only z-50 rounded-md bg-primary px-3 py-2 text-primary-foreground focus:not-sr-only focus:fixed focus:top-2 focus:left-2"
      >
        Skip to the page
      </a>
      <header className="sticky top-0 z-30 flex h-12 items-center gap-2 border-b bg-surface px-3 lg:h-dvh lg:flex-col lg:items-stretch lg:gap-4 lg:border-r lg:border-b-0 lg:bg-sunken lg:p-3">
        <Link to="/" aria-label="TaskMaster" className="flex items-center gap-2 rounded-md lg:px-2 lg:py-1.5">
          <Mark />
          <span className="text-base font-semibold tracking-tight max-sm:hidden">TaskMaster</span>
        </Link>
        <nav aria-label="Main" className="flex gap-0.5 lg:flex-col">
          {PAGES.map(({ to, label, icon: Icon }) => (
            <Link
              key={to}
              to={to}
              activeOptions={{ exact: to === "/", includeSearch: false }}
              className="flex h-8 items-center gap-2 rounded-md px-2 font-medium text-muted transition-colors hover:bg-hover hover:text-foreground data-[status=active]:bg-foreground/6 data-[status=active]:text-foreground sm:px-2.5"
            >
              <Icon aria-hidden className="size-4 max-sm:hidden" strokeWidth={1.75} />
              {label}
            </Link>
          ))}
        </nav>
        <div className="ml-auto flex items-center gap-2 lg:mt-auto lg:ml-0 lg:justify-between lg:px-2">
          <ConnectionIndicator />
          <span className="flex items-center">
            <a
              href="/api/docs"
              aria-label="API reference"
              title="API reference"
              className="inline-flex size-7 items-center justify-center rounded-md text-muted hover:bg-hover hover:text-foreground max-sm:hidden"
            >
              <BookOpen aria-hidden className="size-3.5" />
            </a>
            <ThemeToggle />
          </span>
        </div>
      </header>
      <main id="main" tabIndex={-1} className="min-w-0 px-3 py-4 outline-none sm:px-5 lg:px-6 lg:py-5">
        <div className="mx-auto max-w-[88rem]">{children}</div>
      </main>
    </div>
  );
}

function Mark() {
  return (
    <svg viewBox="0 0 32 32" aria-hidden className="size-6 shrink-0">
      <rect width="32" height="32" rx="7" className="fill-primary" />
      <path
        d="M8 10.5h16M16 10.5V24"
        className="fill-none stroke-primary-foreground"
        strokeWidth="3.2"
        strokeLinecap="round"
      />
      <circle cx="23.5" cy="22" r="3" fill="#34d399" />
    </svg>
  );
}
