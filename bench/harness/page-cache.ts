/**
 * Memory that a virtual machine has never touched, or has given back to its host, makes first
 * writes several times slower. Reading a file full of holes fills the page cache from exactly that
 * memory, and removing the file makes it the first to be used again.
 */
import { open, rm } from "node:fs/promises";
import { freemem } from "node:os";
import { join } from "node:path";

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
