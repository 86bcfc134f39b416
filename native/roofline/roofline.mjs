// Loads the roofline addon, which only a clone has.
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { rooflineFile } from "../platform.mjs";

/** The roofline, or null where npm install could not build it (it said why) or had no need to. */
export function loadRoofline() {
	return existsSync(rooflineFile) ? createRequire(import.meta.url)(rooflineFile) : null;
}
