import type { ReactNode } from "react";

type PageHeaderProps = { title: string; documentTitle?: string; children?: ReactNode };

/** A page's title, also in the browser's tab, and what can be done on the page. */
export function PageHeader({ title, documentTitle = title, children }: PageHeaderProps) {
  return (
    <div className="mb-4 flex min-h-8 flex-wrap items-center justify-between gap-2">
      <title>{`${documentTitle} · TaskMaster`}</title>
      <h1 className="text-lg font-semibold tracking-tight">{title}</h1>
      {children !== undefined && <div className="flex items-center gap-2">{children}</div>}
    </div>
  );
}
