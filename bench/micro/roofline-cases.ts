/** The same bytes by code that does nothing else, to compare the others with. */
import { loadRoofline } from "#roofline";

import type { MicroCase } from "./micro-case.ts";

const BYTES = 100_000;

/** None where the roofline addon is not built. */
export function rooflineCases(): MicroCase[] {
	const roofline = loadRoofline();
	if (roofline === null) return [];
	const data = new Uint8Array(BYTES).fill(1);
	const target = new Uint8Array(BYTES);
	return [
		{ name: "roofline: CRC32C", bytes: BYTES, run: () => void roofline.crc32c(data) },
		{ name: "roofline: copy", bytes: BYTES, run: () => target.set(data) },
	];
}
