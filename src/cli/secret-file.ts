import { readFile } from "node:fs/promises";
import { text as textOf } from "node:stream/consumers";

import { UsageError } from "./exit-code.ts";

/** The first line of a file: editors end it with a line break. Rejects with UsageError. */
export async function readSecret(option: string, file: string): Promise<string> {
	// Not as /dev/stdin: a pipe or terminal of somebody else, as under sudo, opens to nobody.
	const text = file === "-" ? await textOf(process.stdin) : await readText(option, file);
	const secret = text.split(/\r?\n/, 1)[0] ?? "";
	if (secret === "") throw new UsageError(`${option}: there is nothing in it`);
	return secret;
}

/** A file that an option names. Rejects with UsageError. */
export async function readText(option: string, file: string): Promise<string> {
	try {
		return await readFile(file, "utf8");
	} catch (cause) {
		throw new UsageError(`${option}: ${(cause as Error).message}`, { cause });
	}
}
