import type { MetadataChange, MetadataSnapshot, MetadataStore } from "./metadata-store.ts";

/** The part of the storage core that keeps metadata: one ACID file in the data directory. */
export interface MetadataFile {
	metadataLoad(): MetadataFileContent | Promise<MetadataFileContent>;
	metadataCommit(expectedEpoch: number, changes: MetadataChange[]): Promise<number>;
}

interface MetadataFileContent {
	readonly epoch: number;
	readonly entries: readonly (readonly [key: string, value: Uint8Array])[];
}

/** The metadata store of a broker that stands alone. */
export class EmbeddedMetadataStore implements MetadataStore {
	readonly #file: MetadataFile;

	constructor(file: MetadataFile) {
		this.#file = file;
	}

	async load(): Promise<MetadataSnapshot> {
		const { epoch, entries } = await this.#file.metadataLoad();
		return { epoch, entries: new Map(entries) };
	}

	commit(expectedEpoch: number, changes: readonly MetadataChange[]): Promise<number> {
		return this.#file.metadataCommit(expectedEpoch, [...changes]);
	}
}
