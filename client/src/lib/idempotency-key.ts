// Names for submissions: one that is sent again under its name is carried out once.

/** A name that nobody else has: 128 random bits. Not `crypto.randomUUID`, which pages served over plain HTTP do not have. */
export function newIdempotencyKey(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
