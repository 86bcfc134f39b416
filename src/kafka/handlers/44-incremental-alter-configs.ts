/**
 * IncrementalAlterConfigs: v0-1 (KIP-339).
 *
 * Behavior:
 * - Topics: SET, DELETE (back to the default; nothing for what is not set), APPEND and SUBTRACT for
 *   lists. All changes of a topic are made or none.
 * - Brokers: what can be set while the broker runs, for this one by its number or for all without.
 *   A value for anything else is INVALID_REQUEST, as in Kafka for its read-only options; Kafka
 *   takes names that it does not know without a word.
 * - Groups: what members of KIP-848 groups are told from their next heartbeat on.
 * - Loggers (KIP-412): levels are set until the broker ends. DELETE goes back to what the
 *   configuration says, also of `root`, where Kafka refuses it.
 * - A resource or a setting that the request has twice, a null value and an unknown operation are
 *   INVALID_REQUEST; the last is UNKNOWN_SERVER_ERROR in Kafka.
 */
import { serveApi } from "../api.ts";
import { configResources } from "../audited.ts";
import { alterResources } from "../config-changes.ts";
import type { Exchange } from "../exchange.ts";
import {
	INCREMENTAL_ALTER_CONFIGS,
	type IncrementalAlterConfigsRequest,
	type IncrementalAlterConfigsResponse,
} from "../generated/44-incremental-alter-configs.ts";

export const incrementalAlterConfigsApi = serveApi(
	INCREMENTAL_ALTER_CONFIGS,
	incrementalAlterConfigs,
	({ validateOnly }, { responses }) => (validateOnly ? [] : configResources(responses)),
);

async function incrementalAlterConfigs(
	{ resources, validateOnly }: IncrementalAlterConfigsRequest,
	exchange: Exchange,
): Promise<IncrementalAlterConfigsResponse> {
	const changes = resources.map((resource) => ({ ...resource, replacesAll: false }));
	return { responses: await alterResources(changes, validateOnly, exchange) };
}
