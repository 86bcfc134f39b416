/** Opening a data directory as a broker does, for commands that need no broker. */
import { EmbeddedMetadataStore } from "../metadata/embedded-store.ts";
import { MetadataWriter } from "../metadata/metadata-writer.ts";
import { type RecoveryEntry, Storage } from "../storage/storage.ts";
import { TopicCatalogue } from "../topics/catalogue.ts";

/** What there is in an open directory; topics are to be read only. */
export interface OpenDirectory {
	readonly storage: Storage;
	readonly catalogue: TopicCatalogue;
}

/**
 * Opens a data directory that no broker uses with all its topics, does some work and closes it in
 * order: then every log ends behind its last whole batch and the next start is a fast one. Answers
 * what recovery found.
 */
export async function whileOpen(
	dataDir: string,
	work: (opened: OpenDirectory) => Promise<void> = async () => undefined,
): Promise<readonly RecoveryEntry[]> {
	// No flush journal: an earlier version may be what uses it next.
	const storage = await Storage.open({ dataDir, owner: true });
	try {
		const opened = await MetadataWriter.open(new EmbeddedMetadataStore(storage));
		const failures: unknown[] = [];
		const catalogue = await TopicCatalogue.open(storage, opened, {
			partitionsDefault: 1,
			createsAutomatically: false,
			onDeletionFailed: (_topic, error) => failures.push(error),
		});
		await catalogue.close();
		if (failures.length > 0) throw failures[0];
		await work({ storage, catalogue });
		return storage.recoveryReport;
	} finally {
		await storage.close();
	}
}
