import type { AssignorName } from "./consumer/assignors.ts";

/** Which way a group with members may go from one group protocol to the other. */
export const MIGRATION_POLICIES = ["bidirectional", "upgrade", "downgrade", "disabled"] as const;
export type MigrationPolicy = (typeof MIGRATION_POLICIES)[number];

/** Kafka's options of the same names; `src/config/options.ts` has their defaults and bounds. */
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
	readonly groupConsumerMigrationPolicy: MigrationPolicy;
	readonly offsetMetadataMaxBytes: number;
	readonly offsetsRetentionMinutes: number;
	readonly offsetsRetentionCheckIntervalMs: number;
	readonly offsetsTopicNumPartitions: number;
}

/** Whether a classic group with members may become a consumer group. */
export function mayUpgrade(policy: MigrationPolicy): boolean {
	return policy === "bidirectional" || policy === "upgrade";
}

/** Whether a consumer group with members may become a classic group. */
export function mayDowngrade(policy: MigrationPolicy): boolean {
	return policy === "bidirectional" || policy === "downgrade";
}
