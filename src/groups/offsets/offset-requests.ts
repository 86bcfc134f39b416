/** Committing, fetching and deleting offsets. */
import { MillraceError } from "../../errors.ts";
import { CODES } from "../../protocol/codes.ts";
import type { Group, GroupRecord } from "../group.ts";
import { offsetRecord } from "../log/group-records.ts";
import type { GroupStore } from "../log/group-store.ts";
import { groupError } from "../log/group-writes.ts";
import type { GroupOptions } from "../options.ts";
import type {
	CodeNumber,
	CommitRequest,
	DeleteOffsetsRequest,
	FetchedOffset,
	FetchOffsetsRequest,
	OffsetToCommit,
	PartitionCode,
	TopicPartitions,
} from "../requests.ts";
import { type CommittedOffset, costOf, type StagedOffset } from "./committed-offsets.ts";

/** What a string of Kafka's may be long, in bytes of UTF-8. */
const STRING_BYTES_MAX = 32_767;

export class OffsetRequests {
	readonly #store: GroupStore;
	readonly #options: GroupOptions;

	constructor(store: GroupStore, options: GroupOptions) {
		this.#store = store;
		this.#options = options;
	}

	/** See `GroupCoordinator.commitOffsets`. */
	async commit(request: CommitRequest): Promise<TopicPartitions<PartitionCode>[]> {
		if (!this.#store.isPrepared) await this.#store.prepare();
		const group = this.#groupToCommit(request);
		group?.admitCommit(request);
		const commitMs = this.#store.wallMs();
		const records: GroupRecord[] = [];
		const staged: StagedOffset[] = [];
		const answer = request.topics.map(({ topic, partitions }) => {
			const known = this.#store.catalogue.get(topic);
			const codes = partitions.map((each): PartitionCode => {
				const { partition } = each;
				const isKnown = known !== undefined && partition >= 0 && partition < known.partitions;
				const code = isKnown ? this.#admit(group, each) : CODES.UNKNOWN_TOPIC_OR_PARTITION.code;
				if (code === CODES.NONE.code && group !== null && known !== undefined) {
					const offset = offsetOf(request, each, known.topicId, commitMs);
					records.push(offsetRecord(group.groupId, topic, partition, offset));
					staged.push(group.offsets.stage(topic, partition, offset));
				}
				return { partition, code };
			});
			return { topic, partitions: codes };
		});
		if (group === null) return answer;
		if (records.length > 0) await this.#append(group, records, staged);
		this.#store.forgetVoid(group);
		return answer;
	}

	/** The group, created for a commit of nobody's; null when there is no room for it. */
	#groupToCommit(request: CommitRequest): Group | null {
		const { groupId, generation, knowsGroupIdNotFound } = request;
		const group = this.#store.find(groupId);
		if (group !== undefined) return group;
		if (generation < 0) return this.#store.createClassic(groupId);
		const code = knowsGroupIdNotFound ? "GROUP_ID_NOT_FOUND" : "ILLEGAL_GENERATION";
		throw new MillraceError(code, groupId);
	}

	#admit(group: Group | null, offset: OffsetToCommit): CodeNumber {
		const metadata = offset.metadata ?? "";
		const isTooLarge =
			// In Kafka, too, it counts characters.
			metadata.length > this.#options.offsetMetadataMaxBytes ||
			Buffer.byteLength(metadata) > STRING_BYTES_MAX;
		if (isTooLarge) return CODES.OFFSET_METADATA_TOO_LARGE.code;
		if (group === null || !this.#store.budget.fits(costOf(offset))) {
			return CODES.INVALID_COMMIT_OFFSET_SIZE.code;
		}
		return CODES.NONE.code;
	}

	#append(
		group: Group,
		records: readonly GroupRecord[],
		staged: readonly StagedOffset[],
	): Promise<void> {
		return new Promise((resolve, reject) => {
			this.#store.append(group.partition, records, (error) => {
				if (error === undefined) {
					for (const each of staged) each.settle();
					resolve();
				} else {
					for (const each of staged) each.revert();
					this.#store.forgetVoid(group);
					reject(offsetError(error));
				}
			});
		});
	}

	/** See `GroupCoordinator.fetchOffsets`. */
	fetch(request: FetchOffsetsRequest): TopicPartitions<FetchedOffset>[] {
		const { groupId, topics } = request;
		const group = this.#store.find(groupId);
		group?.admitFetch(request);
		const offsets = group?.offsets;
		if (topics === null) {
			if (offsets === undefined) return [];
			return Array.from(offsets.topics(), (topic) => ({
				topic,
				partitions: Array.from(offsets.of(topic), ([partition, offset]) =>
					fetchedOffset(partition, offset),
				),
			})).filter(({ partitions }) => partitions.length > 0);
		}
		return topics.map(({ topic, partitions }) => ({
			topic,
			partitions: partitions.map((partition) =>
				fetchedOffset(partition, offsets?.get(topic, partition) ?? null),
			),
		}));
	}

	/** See `GroupCoordinator.deleteOffsets`. */
	async delete(request: DeleteOffsetsRequest): Promise<TopicPartitions<PartitionCode>[]> {
		const { groupId, topics } = request;
		const group = this.#store.existing(groupId);
		group.admitOffsetDeletion();
		const records: GroupRecord[] = [];
		const answer = topics.map(({ topic, partitions }) => {
			const isSubscribed = group.isSubscribedTo(topic);
			const count = this.#store.catalogue.get(topic)?.partitions ?? 0;
			const codes = partitions.map((partition) => {
				const isKnown = partition >= 0 && partition < count;
				if (!isKnown) return { partition, code: CODES.UNKNOWN_TOPIC_OR_PARTITION.code };
				if (isSubscribed) return { partition, code: CODES.GROUP_SUBSCRIBED_TO_TOPIC.code };
				if (group.offsets.remove(topic, partition)) {
					records.push(offsetRecord(groupId, topic, partition, null));
				}
				return { partition, code: CODES.NONE.code };
			});
			return { topic, partitions: codes };
		});
		await this.#store.appendDurably(group.partition, records).catch((error: MillraceError) => {
			throw offsetError(error);
		});
		return answer;
	}
}

function offsetOf(
	{ retentionMs }: CommitRequest,
	{ offset, leaderEpoch, metadata }: OffsetToCommit,
	topicId: string,
	commitMs: number,
): CommittedOffset {
	const expireMs = retentionMs === null ? -1 : commitMs + retentionMs;
	return { offset, leaderEpoch, metadata: metadata ?? "", commitMs, expireMs, topicId };
}

function fetchedOffset(partition: number, committed: CommittedOffset | null): FetchedOffset {
	const { offset, leaderEpoch, metadata } = committed ?? NO_OFFSET;
	return { partition, code: CODES.NONE.code, offset, leaderEpoch, metadata };
}

const NO_OFFSET = { offset: -1, leaderEpoch: -1, metadata: "" };

/** What Kafka answers when offsets could not be stored; the cause says what happened. */
export function offsetError(cause: MillraceError): MillraceError {
	switch (cause.code) {
		case "MESSAGE_TOO_LARGE":
		case "RECORD_LIST_TOO_LARGE":
			return new MillraceError("INVALID_COMMIT_OFFSET_SIZE", cause.message, { cause });
		default: {
			const error = groupError(cause);
			// What is none of those is told as it is.
			return error.code === "UNKNOWN_SERVER_ERROR" ? cause : error;
		}
	}
}
