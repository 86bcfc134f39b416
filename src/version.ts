import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** The version in package.json. */
export const VERSION = readVersion();

function readVersion(): string {
	const text = readFileSync(fileURLToPath(import.meta.resolve("#package.json")), "utf8");
	return (JSON.parse(text) as { version: string }).version;
}
