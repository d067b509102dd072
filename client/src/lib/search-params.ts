// Search parameters as people write them: `?status=failed,running`, not JSON. Every value is a string here; each
// route makes of them what it needs.

export type RawSearch = Record<string, unknown>;

export function parseSearch(search: string): Record<string, string> {
  return Object.fromEntries(new URLSearchParams(search));
}

export function stringifySearch(search: RawSearch): string {
  const params = new URLSearchParams();
  for (const [name, value] of Object.entries(search)) {
    if (typeof value === "string" && value !== "") params.set(name, value);
  }
  // A comma needs no escape in a query.
  return params.size === 0 ? "" : `?${params.toString().replaceAll("%2C", ",")}`;
}

/** A parameter's text, if there is any. */
export function text(search: RawSearch, name: string): string | undefined {
  const value = search[name];
  return typeof value === "string" && value.trim() !== "" ? value : undefined;
}
