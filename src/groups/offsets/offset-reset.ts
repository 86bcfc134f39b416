/**
 * Moving a group's committed offsets: where each partition would go, for people to look at first.
 */
import { MillraceError } from "../../errors.ts";
import { CODES } from "../../protocol/codes.ts";
import type { Storage } from "../../storage/storage.ts";
import type { Topic, TopicCatalogue } from "../../topics/catalogue.ts";
import type { GroupCoordinator } from "../coordinator.ts";
import { GENERATION_NONE, MEMBER_ID_UNKNOWN, type TopicPartitions } from "../requests.ts";

/** Where to put offsets. All but the first two end up within the log. */
export type ResetTarget =
	| { readonly kind: "earliest" | "latest" }
	| { readonly kind: "offset"; readonly offset: number }
	/** The first record at or after a time, in milliseconds since 1970; the end, if there is none. */
	| { readonly kind: "timestamp"; readonly timestampMs: number }
	/**
	 * So many records on from where the group is (negative: back); from the start where it is
	 * nowhere.
	 */
	| { readonly kind: "shift"; readonly records: number };

/** Partitions to move: of a topic all, or one. */
export interface ResetScope {
	readonly topic: string;
	readonly partition: number | null;
}

/** Where one partition stands, and where it is put. */
export interface ResetOffset {
	readonly topic: string;
	readonly partition: number;
	/** Null: nothing was committed. */
	readonly from: number | null;
	readonly to: number;
}

export interface ResetRequest {
	readonly groupId: string;
	/** What to move; empty: all that the group has committed. */
	readonly scopes: readonly ResetScope[];
	readonly target: ResetTarget;
	/** Only say what would be done. */
	readonly isDryRun: boolean;
}

/** What a reset works on. */
export interface ResetHost {
	readonly groups: Pick<GroupCoordinator, "commitOffsets" | "fetchOffsets" | "stateOf">;
	readonly catalogue: Pick<TopicCatalogue, "get">;
	readonly storage: ResetStorage;
}

export type ResetStorage = Pick<Storage, "offsetForTimestamp" | "offsets">;

/**
 * The group reads from its members' positions while it has any: moving offsets would do nothing.
 */
const STATES_WITHOUT_MEMBERS: readonly (string | null)[] = [null, "Empty", "Dead"];

/**
 * Moves a group's offsets, durably, and resolves to what was moved. A group that does not exist is
 * made by its offsets. Rejects with NON_EMPTY_GROUP while the group has members (not for a dry
 * run), UNKNOWN_TOPIC_OR_PARTITION, INVALID_REQUEST where nothing is named and nothing was
 * committed, or as `GroupCoordinator.commitOffsets`.
 */
export async function resetOffsets(host: ResetHost, request: ResetRequest): Promise<ResetOffset[]> {
	const { groupId, target, isDryRun } = request;
	const { groups, catalogue, storage } = host;
	if (!isDryRun && !STATES_WITHOUT_MEMBERS.includes(groups.stateOf(groupId))) {
		throw new MillraceError("NON_EMPTY_GROUP", `${groupId}: stop its members first`);
	}
	const committed = groups.fetchOffsets({ groupId, topics: null });
	const scopes = request.scopes.length > 0 ? request.scopes : scopesOf(committed);
	if (scopes.length === 0) {
		throw new MillraceError("INVALID_REQUEST", `${groupId} has committed nothing: name a topic`);
	}
	const offsets = new Map(
		committed.map(({ topic, partitions }) => [
			topic,
			new Map(partitions.map(({ partition, offset }) => [partition, offset])),
		]),
	);
	const resets: ResetOffset[] = [];
	for (const scope of scopes) {
		const { topic, partitions } = partitionsOf(catalogue, scope);
		for (const partition of partitions) {
			const from = offsets.get(topic.name)?.get(partition) ?? null;
			const to = await targetOffset(storage, topic, partition, from, target);
			resets.push({ topic: topic.name, partition, from, to });
		}
	}
	if (!isDryRun) await commit(groups, groupId, resets);
	return resets;
}

function scopesOf(committed: readonly TopicPartitions<{ partition: number }>[]): ResetScope[] {
	return committed.flatMap(({ topic, partitions }) =>
		partitions.map(({ partition }) => ({ topic, partition })),
	);
}

async function commit(
	groups: ResetHost["groups"],
	groupId: string,
	resets: readonly ResetOffset[],
): Promise<void> {
	const byTopic = new Map<string, ResetOffset[]>();
	for (const reset of resets) {
		const others = byTopic.get(reset.topic);
		if (others === undefined) byTopic.set(reset.topic, [reset]);
		else others.push(reset);
	}
	const answer = await groups.commitOffsets({
		groupId,
		memberId: MEMBER_ID_UNKNOWN,
		groupInstanceId: null,
		generation: GENERATION_NONE,
		retentionMs: null,
		knowsGroupIdNotFound: true,
		topics: Array.from(byTopic, ([topic, partitions]) => ({
			topic,
			partitions: partitions.map(({ partition, to }) => ({
				partition,
				offset: to,
				leaderEpoch: -1,
				metadata: "",
			})),
		})),
	});
	for (const { topic, partitions } of answer) {
		const failed = partitions.find(({ code }) => code !== CODES.NONE.code);
		if (failed !== undefined)
			throw MillraceError.fromNumber(failed.code, `${topic}-${failed.partition}`);
	}
}

/** The partitions of a scope. Throws UNKNOWN_TOPIC_OR_PARTITION. */
function partitionsOf(
	catalogue: Pick<TopicCatalogue, "get">,
	{ topic: name, partition }: ResetScope,
): { topic: Topic; partitions: number[] } {
	const topic = catalogue.get(name);
	if (topic === undefined || (partition !== null && partition >= topic.partitions)) {
		const what = partition === null ? name : `${name}-${partition}`;
		throw new MillraceError("UNKNOWN_TOPIC_OR_PARTITION", what, { topic: name });
	}
	const all = () => Array.from({ length: topic.partitions }, (_, index) => index);
	return { topic, partitions: partition === null ? all() : [partition] };
}

/** The offset that `target` means for a partition whose committed offset is `from`. */
async function targetOffset(
	storage: ResetStorage,
	{ handle }: Topic,
	partition: number,
	from: number | null,
	target: ResetTarget,
): Promise<number> {
	const { logStart, highWatermark } = storage.offsets(handle, partition);
	const within = (offset: number) => Math.min(Math.max(offset, logStart), highWatermark);
	switch (target.kind) {
		case "earliest":
			return logStart;
		case "latest":
			return highWatermark;
		case "offset":
			return within(target.offset);
		case "shift":
			return within((from ?? logStart) + target.records);
		case "timestamp": {
			const found = await storage.offsetForTimestamp(handle, partition, target.timestampMs);
			return found?.offset ?? highWatermark;
		}
	}
}
