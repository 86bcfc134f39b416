/**
 * The only file that loads the addon. Its types are generated from native/binding.
 */
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { addonFile, describePlatform, prebuiltPackage } from "#platform";
import type { NativeBinding } from "./native-binding.ts";

/** One place where the addon was looked for. */
export interface LoadAttempt {
	/** A file, or the name of an npm package. */
	readonly place: string;
	/** Why it could not be used: the dynamic linker's own words where it was tried. */
	readonly reason: string;
}

/**
 * The addon could not be loaded. The message names this platform, every place tried and why it
 * failed.
 */
export class NativeLoadError extends Error {
	readonly attempts: readonly LoadAttempt[];

	constructor(attempts: readonly LoadAttempt[]) {
		const tried = attempts.map(({ place, reason }) => `\n  ${place}: ${reason}`).join("");
		super(
			`the storage core could not be loaded on ${describePlatform()}; tried:${tried}\n` +
				"To build it for this machine, run `npm run build` in a clone; as a dependency, run " +
				"`npm install-scripts approve millrace` where npm has it, then `npm rebuild millrace`.",
		);
		this.name = "NativeLoadError";
		this.attempts = attempts;
	}
}

const require = createRequire(import.meta.url);
let loaded: NativeBinding | null = null;

/**
 * Returns the addon, loading it at the first call: the one built on this machine where there is
 * one, else the prebuilt package of this platform. Each worker thread has its own call, and all of
 * them share one core. Throws NativeLoadError.
 */
export function loadNative(): NativeBinding {
	if (loaded !== null) return loaded;
	const attempts: LoadAttempt[] = [];
	// The package's name is asked for last: finding out the C library takes milliseconds.
	for (const placeOf of [() => addonFile, prebuiltPackage]) {
		const place = placeOf();
		if (place === addonFile && !existsSync(place)) {
			attempts.push({ place, reason: "there is no such file" });
			continue;
		}
		try {
			loaded = require(place) as NativeBinding;
			return loaded;
		} catch (error) {
			attempts.push({ place, reason: reasonOf(error) });
		}
	}
	throw new NativeLoadError(attempts);
}

function reasonOf(error: unknown): string {
	if (!(error instanceof Error)) return String(error);
	if ("code" in error && error.code === "MODULE_NOT_FOUND") return "the package is not installed";
	// A missing module's message goes on with the stack of requires; the first line is the cause.
	return error.message.split("\n", 1)[0] ?? error.message;
}
