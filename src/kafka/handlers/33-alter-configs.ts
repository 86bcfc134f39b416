/**
 * AlterConfigs: v0-2. Clients of today use IncrementalAlterConfigs.
 *
 * Behavior:
 * - What a topic sets itself is replaced as a whole: settings that are not named go back to their
 *   defaults.
 * - Otherwise as IncrementalAlterConfigs. Kafka leaves a request unanswered that has a resource
 *   twice; here it is INVALID_REQUEST.
 */
import { serveApi } from "../api.ts";
import { configResources } from "../audited.ts";
import { alterResources, CONFIG_OPERATION } from "../config-changes.ts";
import type { Exchange } from "../exchange.ts";
import {
	ALTER_CONFIGS,
	type AlterConfigsRequest,
	type AlterConfigsResponse,
} from "../generated/33-alter-configs.ts";

export const alterConfigsApi = serveApi(
	ALTER_CONFIGS,
	alterConfigs,
	({ validateOnly }, { responses }) => (validateOnly ? [] : configResources(responses)),
);

async function alterConfigs(
	{ resources, validateOnly }: AlterConfigsRequest,
	exchange: Exchange,
): Promise<AlterConfigsResponse> {
	const changes = resources.map(({ configs, ...resource }) => ({
		...resource,
		configs: configs.map((config) => ({ ...config, configOperation: CONFIG_OPERATION.set })),
		replacesAll: true,
	}));
	return { responses: await alterResources(changes, validateOnly, exchange) };
}
