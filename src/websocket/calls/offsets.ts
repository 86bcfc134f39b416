/** offsets.list, offsets.describe */
import { LIMITS } from "../../limits.ts";
import type { CallAnswer } from "../../protocol/calls.ts";
import { Arguments, invalid, isMap } from "../arguments.ts";
import type { LiveTopic } from "../live-topics.ts";
import type { AnswerMap } from "../outgoing.ts";
import type { Session } from "../session.ts";
import { checkPartition } from "../topic-aliases.ts";

export async function listOffsets(session: Session, parameters: Arguments): Promise<AnswerMap> {
	const topic = topicOf(session, parameters);
	const partition = parameters.integer("partition", 0, LIMITS.topicPartitionsMax);
	checkPartition(topic, partition);
	const at = parameters.value("at");
	const { storage } = session.host;
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

export function describeOffsets(session: Session, parameters: Arguments): AnswerMap {
	const { handle, partitions } = topicOf(session, parameters).current;
	return {
		partitions: Array.from({ length: partitions }, (_, partition) => {
			const offsets = session.host.storage.offsets(handle, partition);
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
export function topicOf(session: Session, parameters: Arguments): LiveTopic {
	const topic = parameters.value("topic");
	if (typeof topic === "string" || typeof topic === "number")
		return session.aliases.existing(topic);
	return invalid("topic", "is neither a name nor an alias");
}
