import { useRouter, type ErrorComponentProps } from "@tanstack/react-router";
import { ProblemAlert } from "./problem-alert";

/** A page that could not be shown at all. */
export function ErrorPage({ error, reset }: ErrorComponentProps) {
  const router = useRouter();
  return (
    <ProblemAlert
      error={error instanceof Error ? error : new Error(String(error))}
      onRetry={() => {
        reset();
        void router.invalidate();
      }}
      className="mx-auto max-w-xl"
    />
  );
}
