// One door to the API. Paths, bodies and answers are those of the OpenAPI snapshot: a path that the API does not
// have, or a field that it does not return, does not compile.

import { noteServerDate } from "@/lib/clock";
import type { components, paths } from "./schema";

export type Schemas = components["schemas"];
export type Problem = Schemas["Problem"];

type Method = "get" | "post" | "put";
type PathsWith<M extends Method> = {
  [P in keyof paths]: paths[P] extends Record<M, { responses: object }> ? P : never;
}[keyof paths];
type Operation<P extends keyof paths, M extends Method> = paths[P] extends Record<M, infer O> ? O : never;
type JsonAt<R, Code extends number> =
  R extends Record<Code, { content: { "application/json": infer Body } }> ? Body : never;
/** What an operation answers when all went well. */
type Answer<O> = O extends { responses: infer R } ? JsonAt<R, 200> | JsonAt<R, 201> | JsonAt<R, 202> : never;
type Body<O> = O extends { requestBody: { content: { "application/json": infer B } } } ? B : undefined;

export type PathParameters = Record<string, string>;
export type QueryParameters = Record<string, string | number | undefined>;
type Options = {
  path?: PathParameters;
  query?: QueryParameters;
  signal?: AbortSignal;
  /** Sent again under the same key, the request is carried out once. */
  idempotencyKey?: string;
};

/** The API refused or failed, and said why. */
export class ProblemError extends Error {
  constructor(readonly problem: Problem) {
    super(problem.detail || problem.title);
    this.name = "ProblemError";
  }

  /** Whether trying the same again later may help. */
  get transient(): boolean {
    return this.problem.status >= 500 || this.problem.status === 429;
  }
}

/** No answer came: the API is not there, or the network is not. */
export class UnreachableError extends Error {
  constructor() {
    super("TaskMaster's API does not answer. Is it running?");
    this.name = "UnreachableError";
  }
}

/** The address of a path of the snapshot, its parameters filled in. */
export function address(
  template: keyof paths,
  { path = {}, query = {} }: Pick<Options, "path" | "query"> = {},
): string {
  const filled = template.replace(/\{(\w+)\}/g, (_, name: string) => encodeURIComponent(path[name] ?? ""));
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined && value !== "") search.set(name, String(value));
  }
  return search.size === 0 ? filled : `${filled}?${search}`;
}

export async function get<P extends PathsWith<"get">>(
  template: P,
  options: Options = {},
): Promise<Answer<Operation<P, "get">>> {
  return request(address(template, options), { signal: options.signal });
}

export async function post<P extends PathsWith<"post">>(
  template: P,
  body: Body<Operation<P, "post">>,
  options: Options = {},
): Promise<Answer<Operation<P, "post">>> {
  const { signal, idempotencyKey } = options;
  const headers = {
    ...(body !== undefined && { "content-type": "application/json" }),
    ...(idempotencyKey !== undefined && { "idempotency-key": idempotencyKey }),
  };
  const json = body === undefined ? {} : { body: JSON.stringify(body) };
  return request(address(template, options), { method: "POST", signal, headers, ...json });
}

export async function put<P extends PathsWith<"put">>(
  template: P,
  body: Body<Operation<P, "put">>,
): Promise<Answer<Operation<P, "put">>> {
  const headers = { "content-type": "application/json" };
  return request(address(template), { method: "PUT", headers, body: JSON.stringify(body) });
}

async function request<T>(url: string, init: RequestInit): Promise<T> {
  let response: Response;
  try {
    response = await fetch(url, { ...init, headers: { accept: "application/json", ...init.headers } });
  } catch (error) {
    if (init.signal?.aborted) throw error;
    throw new UnreachableError();
  }
  noteServerDate(response.headers.get("date"));
  if (!response.ok) throw new ProblemError(await readProblem(response));
  // The one unchecked step: the answer has the shape that the snapshot gives it.
  return (await response.json()) as T;
}

async function readProblem(response: Response): Promise<Problem> {
  const fallback: Problem = {
    type: "about:blank",
    title: response.statusText || `HTTP ${response.status}`,
    status: response.status,
    detail: `The API answered ${response.status} without saying why.`,
  };
  // A proxy in between answers with its own page when the API is away.
  if (!response.headers.get("content-type")?.includes("json")) return fallback;
  try {
    return { ...fallback, ...((await response.json()) as Partial<Problem>) };
  } catch {
    return fallback;
  }
}
