import { MillraceError } from "../../src/errors.ts";
import type { MetadataFile } from "../../src/metadata/embedded-store.ts";
import type { MetadataChange } from "../../src/metadata/metadata-store.ts";

/** A metadata file in memory that can be told to fail once, before or after it has taken effect. */
export class MemoryMetadataFile implements MetadataFile {
	epoch = 0;
	readonly entries = new Map<string, Uint8Array>();
	failNextCommit: "before" | "after" | undefined;
	failLoads = false;

	metadataLoad() {
		if (this.failLoads) throw new MillraceError("KAFKA_STORAGE_ERROR", "load failed on request");
		return { epoch: this.epoch, entries: [...this.entries] };
	}

	async metadataCommit(expectedEpoch: number, changes: MetadataChange[]): Promise<number> {
		await Promise.resolve();
		const failure = this.failNextCommit;
		this.failNextCommit = undefined;
		if (failure === "before") throw new MillraceError("KAFKA_STORAGE_ERROR", "failed on request");
		if (expectedEpoch !== this.epoch) throw new MillraceError("INVALID_REQUEST", "stale epoch");
		for (const { key, value } of changes) {
			if (value === null) this.entries.delete(key);
			else this.entries.set(key, value);
		}
		this.epoch += 1;
		if (failure === "after") throw new MillraceError("KAFKA_STORAGE_ERROR", "failed on request");
		return this.epoch;
	}
}
