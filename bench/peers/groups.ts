/** All that can be measured beside peers. */
import type { PeerGroup } from "./contender.ts";
import { KAFKA_GROUP } from "./kafka-group.ts";
import { NATS_GROUP } from "./nats-group.ts";
import { REDIS_GROUP } from "./redis-group.ts";
import type { PeerName } from "./results.ts";

export const GROUPS: Record<PeerName, PeerGroup> = {
	kafka: KAFKA_GROUP,
	nats: NATS_GROUP,
	redis: REDIS_GROUP,
};

/** In the order in which they are run. */
export function scenarioNames(groups: readonly PeerGroup[]): string[] {
	return groups.flatMap(({ scenarios }) => scenarios.map(({ name }) => name));
}
