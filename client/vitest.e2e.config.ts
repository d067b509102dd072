import { defineConfig } from "vitest/config";

// The browser test: one real stack, one browser, one story at a time.
export default defineConfig({
  test: {
    environment: "node",
    include: ["e2e/**/*.test.ts"],
    testTimeout: 90_000,
    hookTimeout: 60_000,
    fileParallelism: false,
    // One story: after a failure the rest has no meaning.
    bail: 1,
    retry: 0,
  },
});
