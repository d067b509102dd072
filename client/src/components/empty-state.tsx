import type { LucideIcon } from "lucide-react";
import type { ReactNode } from "react";

type EmptyStateProps = {
  icon: LucideIcon;
  title: string;
  /** It is all that the page has to say. */
  page?: boolean;
  children: ReactNode;
};

/** There is nothing here yet: says so, and what to do next. */
export function EmptyState({ icon: Icon, title, page = false, children }: EmptyStateProps) {
  const Title = page ? "h1" : "p";
  return (
    <div className="mx-auto flex max-w-2xl flex-col items-center px-4 py-10 text-center">
      <Icon aria-hidden className="size-6 text-muted" strokeWidth={1.5} />
      <Title className="mt-3 font-medium">{title}</Title>
      <div className="mt-1 w-full space-y-3 text-muted">{children}</div>
    </div>
  );
}
