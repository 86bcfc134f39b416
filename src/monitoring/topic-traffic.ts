/** Records and bytes of one protocol, by topic. */
import type { TopicHandle } from "../storage/storage.ts";
import type { TopicCatalogue } from "../topics/catalogue.ts";

export class Traffic {
	receivedBytes = 0;
	receivedRecords = 0;
	sentBytes = 0;
	sentRecords = 0;
}

export class TopicTraffic {
	readonly #topics = new Map<TopicHandle, Traffic>();
	/** Told of the traffic of each topic that is deleted, which is forgotten here. */
	onForgotten: (topic: TopicHandle, traffic: Traffic) => void = () => undefined;

	constructor(catalogue: Pick<TopicCatalogue, "onChange">) {
		catalogue.onChange(({ kind, topic }) => {
			if (kind === "deleted") this.#forget(topic.handle);
		});
	}

	/** Clients sent records, which were not refused at once. */
	received(topic: TopicHandle, records: number, bytes: number): void {
		const traffic = this.#of(topic);
		traffic.receivedRecords += records;
		traffic.receivedBytes += bytes;
	}

	/** Clients were sent records. */
	sent(topic: TopicHandle, records: number, bytes: number): void {
		const traffic = this.#of(topic);
		traffic.sentRecords += records;
		traffic.sentBytes += bytes;
	}

	/** Undefined where there was none. */
	get(topic: TopicHandle): Traffic | undefined {
		return this.#topics.get(topic);
	}

	#forget(topic: TopicHandle): void {
		const traffic = this.#topics.get(topic);
		if (traffic === undefined) return;
		this.#topics.delete(topic);
		this.onForgotten(topic, traffic);
	}

	#of(topic: TopicHandle): Traffic {
		let traffic = this.#topics.get(topic);
		if (traffic === undefined) {
			traffic = new Traffic();
			this.#topics.set(topic, traffic);
		}
		return traffic;
	}
}

/** Where a batch's header has the number of its records. */
const BATCH_RECORD_COUNT = 57;

/** Records of the batch that begins at `start`, as its header says; 0 where it is cut short. */
export function recordCountOf(bytes: Uint8Array, start = 0): number {
	const at = start + BATCH_RECORD_COUNT;
	if (at + 4 > bytes.length) return 0;
	const high = ((bytes[at] as number) << 24) | ((bytes[at + 1] as number) << 16);
	const low = ((bytes[at + 2] as number) << 8) | (bytes[at + 3] as number);
	return Math.max(high | low, 0);
}
