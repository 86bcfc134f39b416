/** Sizes for people. Machines are told bytes. */

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"] as const;

/** `0 B`, `900 B`, `1.5 KiB`, `16 MiB`: three digits or so, as many as are worth reading. */
export function formatBytes(bytes: number): string {
	let value = bytes;
	let unit = 0;
	// What would be rounded to 1024 of a unit is 1 of the next.
	while (Number(value.toFixed(1)) >= 1_024 && unit < UNITS.length - 1) {
		value /= 1_024;
		unit += 1;
	}
	return `${Number(value.toFixed(value < 100 ? 1 : 0))} ${UNITS[unit]}`;
}
