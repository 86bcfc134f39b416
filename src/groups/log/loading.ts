/** Reading one partition of the offsets topic back into groups. */
import { MillraceError } from "../../errors.ts";
import type { Turns } from "../../kafka/turns.ts";
import { KafkaFrameError } from "../../kafka/wire/frame-error.ts";
import { ClassicGroup, type ClassicGroupHost } from "../classic/classic-group.ts";
import { ConsumerGroup, type ConsumerGroupHost } from "../consumer/consumer-group.ts";
import { ConsumerGroupImage, type ConsumerKey } from "../consumer/consumer-records.ts";
import type { Group } from "../group.ts";
import { CommittedOffsets } from "../offsets/committed-offsets.ts";
import { decodeGroup, decodeKey, decodeOffset } from "./group-records.ts";
import type { OffsetsLog } from "./offsets-log.ts";

export interface LoadedPartition {
	readonly groups: readonly Group[];
	/** Bytes of log that were read. */
	readonly logBytes: number;
	/** Whether there were records that this version does not understand, so must not remove. */
	readonly hasForeignRecords: boolean;
}

/** What the log says of one group so far: the newest value of each key. */
interface LoadingGroup {
	offsets: CommittedOffsets;
	/** Value of the record of a classic group. */
	metadata: Uint8Array | null;
	/** The records of a consumer group; null: there was none. */
	consumer: ConsumerGroupImage | null;
}

type Host = ClassicGroupHost & ConsumerGroupHost;

export interface LoadingLog {
	warn(details: object, message: string): void;
}

/**
 * Reads a partition; resolves to its groups, whose timers are not running yet. Rejects with what
 * storage says, and with DATA_DAMAGED for a record that is not what it says it is.
 */
export async function loadPartition(
	offsetsLog: OffsetsLog,
	partition: number,
	host: Host,
	log: LoadingLog,
	turns: Turns,
): Promise<LoadedPartition> {
	const loader = new PartitionLoader(partition, host, log);
	const logBytes = await offsetsLog.read(
		partition,
		(key, value) => loader.visit(key, value),
		(from, to) => log.warn({ partition, from, to }, "damaged records of groups are left out"),
	);
	const groups = await loader.finish(turns);
	return { groups, logBytes, hasForeignRecords: loader.hasForeignRecords };
}

class PartitionLoader {
	hasForeignRecords = false;
	readonly #partition: number;
	readonly #host: Host;
	readonly #log: LoadingLog;
	readonly #groups = new Map<string, LoadingGroup>();
	readonly #topicIds = new Map<string, string>();

	constructor(partition: number, host: Host, log: LoadingLog) {
		this.#partition = partition;
		this.#host = host;
		this.#log = log;
	}

	/** Takes a record in. */
	visit(key: Uint8Array | null, value: Uint8Array | null): void {
		// A compacted topic takes no record without a key.
		if (key === null) return;
		this.#guard(() => {
			const decoded = decodeKey(key);
			switch (decoded.kind) {
				case "offset": {
					const { group, topic, partition } = decoded;
					this.#takeOffset(group, topic, partition, value);
					return;
				}
				case "group":
					// A copy: the record's memory is used again, and members keep parts of it.
					this.#group(decoded.group).metadata = value === null ? null : new Uint8Array(value);
					return;
				case "consumer":
					this.#takeConsumer(decoded.key, value);
					return;
				case "foreign":
					this.#foreign({ type: decoded.type });
			}
		});
	}

	#takeOffset(group: string, topic: string, partition: number, value: Uint8Array | null): void {
		if (value === null) {
			this.#groups.get(group)?.offsets.remove(topic, partition);
			return;
		}
		const offset = decodeOffset(value);
		if (offset === null) {
			this.#foreign({ group, topic });
			return;
		}
		const topicId = this.#oneOf(offset.topicId);
		this.#group(group).offsets.restore(topic, partition, { ...offset, topicId });
	}

	/** The same text in the memory of the first that was met: offsets of a topic share its id. */
	#oneOf(topicId: string): string {
		const known = this.#topicIds.get(topicId);
		if (known !== undefined) return known;
		this.#topicIds.set(topicId, topicId);
		return topicId;
	}

	#takeConsumer(key: ConsumerKey, value: Uint8Array | null): void {
		const group = this.#group(key.group);
		group.consumer ??= new ConsumerGroupImage();
		if (!group.consumer.take(key, value)) this.#foreign({ group: key.group });
	}

	/** The groups that the records add up to; others have the loop in between. */
	async finish(turns: Turns): Promise<Group[]> {
		const groups: Group[] = [];
		for (const [groupId, { offsets, metadata, consumer }] of this.#groups) {
			if (turns.isDue) await turns.pause();
			if (consumer !== null && !consumer.isGone) {
				const group = new ConsumerGroup(groupId, this.#partition, this.#host, offsets);
				group.restore(consumer);
				groups.push(group);
				continue;
			}
			if (metadata === null && offsets.count === 0) continue;
			const group = new ClassicGroup(groupId, this.#partition, this.#host, offsets);
			if (metadata !== null) {
				this.#guard(() => {
					const value = decodeGroup(metadata);
					if (value === null) this.#foreign({ group: groupId });
					else group.restore(value, metadata);
				});
			}
			groups.push(group);
		}
		return groups;
	}

	#group(groupId: string): LoadingGroup {
		let group = this.#groups.get(groupId);
		if (group === undefined) {
			const offsets = new CommittedOffsets(this.#host.budget);
			group = { offsets, metadata: null, consumer: null };
			this.#groups.set(groupId, group);
		}
		return group;
	}

	#foreign(details: object): void {
		if (!this.hasForeignRecords) {
			const partition = this.#partition;
			this.#log.warn({ partition, ...details }, "records of groups that a newer version wrote");
		}
		this.hasForeignRecords = true;
	}

	#guard(work: () => void): void {
		try {
			work();
		} catch (cause) {
			if (!(cause instanceof KafkaFrameError)) throw cause;
			throw damaged(this.#partition, cause);
		}
	}
}

function damaged(partition: number, cause: KafkaFrameError): MillraceError {
	return new MillraceError("DATA_DAMAGED", `offsets topic, partition ${partition}`, { cause });
}
