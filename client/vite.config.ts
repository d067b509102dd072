import { fileURLToPath } from "node:url";
import tailwindcss from "@tailwindcss/vite";
import { tanstackRouter } from "@tanstack/router-plugin/vite";
import react from "@vitejs/plugin-react";
import { defineConfig } from "vitest/config";

export default defineConfig({
  plugins: [
    tanstackRouter({
      target: "react",
      autoCodeSplitting: true,
      quoteStyle: "double",
      semicolons: true,
      tmpDir: "node_modules/.tanstack",
    }),
    react(),
    tailwindcss(),
  ],
  resolve: {
    alias: { "@": fileURLToPath(new URL("./src", import.meta.url)) },
  },
  server: {
    port: 5173,
    // The API takes requests from any port of this machine, so nothing has to be rewritten.
    proxy: { "/api": process.env.TASKMASTER_URL ?? "http://localhost:8081" },
  },
  build: {
    // Source maps would double the size of the executable that embeds this folder.
    sourcemap: false,
    // Fonts stay files, so that a strict content security policy needs no `data:`.
    assetsInlineLimit: 0,
  },
  test: {
    environment: "jsdom",
    include: ["src/**/*.test.{ts,tsx}"],
    setupFiles: ["src/test-setup.ts"],
  },
});
