/**
 * How the catalogue writes itself into the metadata store, as JSON in UTF-8:
 *
 *     topics/NAME         { format, topic_id, partitions, config }     a topic
 *     deleted-topics/UUID { format, name }                             its files may still be there
 *
 * Configuration values are strings, so that 64-bit ones stay exact.
 */
import { LIMITS } from "../limits.ts";
import { damaged, decodeRecord, decodeTexts, encodeRecord } from "../metadata/metadata-records.ts";
import { checkSetting, type TopicOverrides } from "./configuration.ts";
import { CONFIGURATION } from "./configuration-table.ts";

const FORMAT = 1;
const TOPIC_PREFIX = "topics/";
const DELETED_PREFIX = "deleted-topics/";
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** Which topic: one of this name, until it is deleted. */
export interface TopicIdentity {
	readonly name: string;
	readonly topicId: string;
}

/** What is stored of a topic. */
export interface TopicRecord extends TopicIdentity {
	readonly partitions: number;
	readonly overrides: TopicOverrides;
}

export const topicKey = (name: string) => `${TOPIC_PREFIX}${name}`;
export const deletedTopicKey = (topicId: string) => `${DELETED_PREFIX}${topicId}`;

/** The value under `topicKey`. */
export function encodeTopic(topic: TopicRecord): Uint8Array {
	return encodeRecord(FORMAT, {
		topic_id: topic.topicId,
		partitions: topic.partitions,
		config: Object.fromEntries(topic.overrides),
	});
}

/** The value under `deletedTopicKey`. */
export function encodeDeletedTopic({ name }: TopicIdentity): Uint8Array {
	return encodeRecord(FORMAT, { name });
}

/**
 * The topics and the unfinished deletions among `entries`; keys of others are left alone. Throws
 * DATA_DAMAGED for a record that is not as described above, DATA_DIRECTORY_NEWER for a newer
 * format.
 */
export function decodeRecords(entries: ReadonlyMap<string, Uint8Array>): {
	topics: TopicRecord[];
	deleted: TopicIdentity[];
} {
	const topics: TopicRecord[] = [];
	const deleted: TopicIdentity[] = [];
	for (const [key, value] of entries) {
		if (key.startsWith(TOPIC_PREFIX)) {
			const fields = decodeRecord(FORMAT, key, value);
			const name = key.slice(TOPIC_PREFIX.length);
			topics.push(record(key, name, fields.topic_id, fields));
		} else if (key.startsWith(DELETED_PREFIX)) {
			const fields = decodeRecord(FORMAT, key, value);
			deleted.push(identity(key, fields.name, key.slice(DELETED_PREFIX.length)));
		}
	}
	return { topics, deleted };
}

function record(
	key: string,
	name: unknown,
	topicId: unknown,
	fields: Record<string, unknown>,
): TopicRecord {
	const { partitions, config } = fields;
	if (!isPartitionCount(partitions)) throw damaged(key, "has no number of partitions");
	const overrides = decodeTexts(key, config);
	checkStored(key, overrides);
	return { ...identity(key, name, topicId), partitions, overrides };
}

/**
 * A value that was never accepted is damage, and nothing to guess: it may decide what is deleted.
 * So bounds in the table may grow and not shrink. Names that this version does not know or
 * refuses, a later version may have stored: they are kept and have no effect.
 */
function checkStored(key: string, overrides: TopicOverrides): void {
	for (const [name, value] of overrides) {
		if (CONFIGURATION.get(name)?.class !== "works") continue;
		try {
			checkSetting(name, value);
		} catch (cause) {
			throw damaged(key, `sets ${name} to what it cannot be`, cause);
		}
	}
}

function identity(key: string, name: unknown, topicId: unknown): TopicIdentity {
	if (typeof name !== "string") throw damaged(key, "has no name");
	if (typeof topicId !== "string" || !UUID.test(topicId)) throw damaged(key, "has no topic id");
	return { name, topicId };
}

/** Whether `count` may be the number of a topic's partitions. */
export function isPartitionCount(count: unknown): count is number {
	return (
		Number.isInteger(count) &&
		(count as number) >= 1 &&
		(count as number) <= LIMITS.topicPartitionsMax
	);
}
