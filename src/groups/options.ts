import type { AssignorName } from "./assignors.ts";

/** Kafka's options of the same names; `src/config.ts` has their defaults and bounds. */
export interface GroupOptions {
	readonly groupInitialRebalanceDelayMs: number;
	readonly groupMinSessionTimeoutMs: number;
	readonly groupMaxSessionTimeoutMs: number;
	readonly groupMaxSize: number;
	readonly groupConsumerSessionTimeoutMs: number;
	readonly groupConsumerMinSessionTimeoutMs: number;
	readonly groupConsumerMaxSessionTimeoutMs: number;
	readonly groupConsumerHeartbeatIntervalMs: number;
	readonly groupConsumerMinHeartbeatIntervalMs: number;
	readonly groupConsumerMaxHeartbeatIntervalMs: number;
	readonly groupConsumerMaxSize: number;
	readonly groupConsumerAssignors: readonly AssignorName[];
	readonly offsetMetadataMaxBytes: number;
	readonly offsetsRetentionMinutes: number;
	readonly offsetsRetentionCheckIntervalMs: number;
	readonly offsetsTopicNumPartitions: number;
}
