import { createRouter } from "@tanstack/react-router";
import { ErrorPage } from "./components/error-page";
import { NotFoundPage } from "./components/not-found-page";
import { parseSearch, stringifySearch } from "./lib/search-params";
import { routeTree } from "./routeTree.gen";

export function createAppRouter() {
  return createRouter({
    routeTree,
    parseSearch,
    stringifySearch,
    defaultPreload: "intent",
    scrollRestoration: true,
    defaultErrorComponent: ErrorPage,
    defaultNotFoundComponent: NotFoundPage,
  });
}

declare module "@tanstack/react-router" {
  // eslint-disable-next-line @typescript-eslint/consistent-type-definitions -- merging needs an interface
  interface Register {
    router: ReturnType<typeof createAppRouter>;
  }
  // eslint-disable-next-line @typescript-eslint/consistent-type-definitions -- merging needs an interface
  interface HistoryState {
    /** The cursors of the pages before this one, newest first page left out, for "newer". */
    trail?: string[];
  }
}
