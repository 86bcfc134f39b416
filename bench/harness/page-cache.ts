/**
 * The page cache: warmed before anything is measured, and what files take of it.
 *
 * Memory that a virtual machine has never touched, or has given back to its host, makes first
 * writes several times slower. Reading a file full of holes fills the page cache from exactly that
 * memory, and removing the file makes it the first to be used again.
 */
import { open, readdir, rm, stat } from "node:fs/promises";
import { freemem } from "node:os";
import { join } from "node:path";
import { loadRoofline } from "#roofline";

const READ_BYTES = 1_048_576;

/** What stays free while the cache is filled, so that nobody is pushed out of memory. */
const FREE_PART_KEPT = 0.2;

/** Touches up to `bytesMax` of free memory through a file in `directory`; returns how much. */
export async function warmPageCache(directory: string, bytesMax: number): Promise<number> {
	const free = Math.floor(freemem() * (1 - FREE_PART_KEPT));
	const bytes = Math.floor(Math.min(bytesMax, free) / READ_BYTES) * READ_BYTES;
	const path = join(directory, "holes");
	const file = await open(path, "wx+");
	try {
		await file.truncate(bytes);
		const buffer = new Uint8Array(READ_BYTES);
		for (let position = 0; position < bytes; position += READ_BYTES) {
			await file.read(buffer, 0, READ_BYTES, position);
		}
	} finally {
		await file.close();
		await rm(path);
	}
	return bytes;
}

/**
 * How much of all files below a directory is in the page cache; null where the system does not tell
 * or the roofline addon is not built. Rejects where files go meanwhile.
 */
export async function residentBytes(directory: string): Promise<number | null> {
	const roofline = loadRoofline();
	if (roofline === null) return null;
	let bytes = 0;
	for (const name of await readdir(directory, { recursive: true })) {
		const path = join(directory, name);
		if (!(await stat(path)).isFile()) continue;
		const resident = roofline.residentBytes(path);
		if (resident === null) return null;
		bytes += resident;
	}
	return bytes;
}
