import { QueryClient } from "@tanstack/react-query";
import { ProblemError } from "./http";

/** What is on the page is kept fresh by the event stream, so nothing is polled and nothing goes stale by itself. */
export function createQueryClient(): QueryClient {
  return new QueryClient({
    defaultOptions: {
      queries: {
        staleTime: 5_000,
        refetchOnWindowFocus: false,
        // The browser's idea of being online is about the internet; the API is usually on this machine.
        networkMode: "always",
        retry: (failures, error) => failures < 2 && !(error instanceof ProblemError && !error.transient),
        retryDelay: (failures) => 300 * 2 ** failures,
      },
      mutations: { networkMode: "always" },
    },
  });
}
