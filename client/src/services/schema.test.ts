// @vitest-environment node
import { readFile } from "node:fs/promises";
import openapiTS, { astToString, COMMENT_HEADER } from "openapi-typescript";
import { expect, test } from "vitest";

test("the types are those of the API's snapshot (`npm run types` makes them so)", async () => {
  const snapshot = new URL("../../openapi.json", import.meta.url);
  const types = await readFile(new URL("./schema.d.ts", import.meta.url), "utf8");
  expect(types).toBe(COMMENT_HEADER + astToString(await openapiTS(snapshot, { defaultNonNullable: false })));
});
