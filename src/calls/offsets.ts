/** offsets.list, offsets.describe */
import { LIMITS } from "../limits.ts";
import type { CallAnswer } from "../protocol/calls.ts";
import type { LiveTopic } from "../topics/live-topics.ts";
import { checkPartition } from "../topics/live-topics.ts";
import { Arguments, invalid, isMap } from "./arguments.ts";
import type { AnswerMap, Caller } from "./caller.ts";

export async function listOffsets(caller: Caller, parameters: Arguments): Promise<AnswerMap> {
	const topic = topicOf(caller, parameters);
	const partition = parameters.integer("partition", 0, LIMITS.topicPartitionsMax);
	checkPartition(topic, partition);
	const at = parameters.value("at");
	const { storage } = caller.host;
	const { handle } = topic.current;
	const { logStart, highWatermark, leaderEpoch } = storage.offsets(handle, partition);
	const ends: CallAnswer<"offsets.list"> = {
		offset: at === "earliest" ? logStart : highWatermark,
		timestamp_ms: null,
		leader_epoch: leaderEpoch,
	};
	if (at === "earliest" || at === "latest") return { ...ends };
	if (at === undefined || !isMap(at))
		return invalid("at", "is none of earliest, latest, {timestamp_ms}");
	const timestampMs = new Arguments(at).integer("timestamp_ms", 0, Number.MAX_SAFE_INTEGER);
	const found = await storage.offsetForTimestamp(handle, partition, timestampMs);
	return { ...ends, offset: found?.offset ?? null, timestamp_ms: found?.timestampMs ?? null };
}

export function describeOffsets(caller: Caller, parameters: Arguments): AnswerMap {
	const { handle, partitions } = topicOf(caller, parameters).current;
	return {
		partitions: Array.from({ length: partitions }, (_, partition) => {
			const offsets = caller.host.storage.offsets(handle, partition);
			return {
				partition,
				log_start: offsets.logStart,
				high_watermark: offsets.highWatermark,
				log_end: offsets.logEnd,
				flushed: offsets.flushed,
				leader_epoch: offsets.leaderEpoch,
			};
		}),
	} satisfies CallAnswer<"offsets.describe">;
}

/** Takes `topic`: a name or an alias. */
export function topicOf(caller: Caller, parameters: Arguments): LiveTopic {
	const topic = parameters.value("topic");
	if (typeof topic === "string" || typeof topic === "number") return caller.aliases.existing(topic);
	return invalid("topic", "is neither a name nor an alias");
}
