/** An argument vector as a line that /bin/sh reads back as the same arguments. */
export function shellLine(argv: readonly string[]): string {
  return argv.map(shellWord).join(" ");
}

/** One argument, quoted only where the shell would otherwise read it differently. */
export function shellWord(word: string): string {
  if (/^[A-Za-z0-9_@%+=:,./-]+$/.test(word)) return word;
  return `'${word.replaceAll("'", `'\\''`)}'`;
}
