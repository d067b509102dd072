import { expect, test, vi } from "vitest";
import { newIdempotencyKey } from "./idempotency-key";

test("a key is 128 random bits, also where a page is not served securely", () => {
  // What such a page has of it.
  vi.stubGlobal("crypto", { getRandomValues: crypto.getRandomValues.bind(crypto) });
  const keys = Array.from({ length: 100 }, newIdempotencyKey);
  for (const key of keys) expect(key).toMatch(/^[0-9a-f]{32}$/);
  expect(new Set(keys).size).toBe(100);
});
