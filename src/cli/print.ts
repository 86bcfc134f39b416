/** Writes a line, or several, to stdout. */
export function print(text: string): void {
	process.stdout.write(`${text}\n`);
}
