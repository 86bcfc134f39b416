/**
 * ListConfigResources: v0-1.
 *
 * Behavior:
 * - Names what can be asked for with DescribeConfigs: topics and the broker. Groups are named that
 *   have a configuration of their own.
 * - An unknown type is UNSUPPORTED_VERSION for the whole request.
 *
 * Version notes:
 * - v0: subscriptions of client metrics alone (KIP-714), of which there are none.
 * - v1: any types, all where none is named (KIP-1142).
 */
import { CODES } from "../../protocol/codes.ts";
import { CLUSTER_NAME } from "../../security/acl.ts";
import { serveApi } from "../api.ts";
import { RESOURCE } from "../config-entries.ts";
import type { Exchange } from "../exchange.ts";
import {
	LIST_CONFIG_RESOURCES,
	type ListConfigResourcesRequest,
	type ListConfigResourcesResponse,
} from "../generated/74-list-config-resources.ts";

/** From here on the request says which types it is about. */
const TYPES_VERSION = 1;

const TYPES: ReadonlySet<number> = new Set(Object.values(RESOURCE));

export const listConfigResourcesApi = serveApi(LIST_CONFIG_RESOURCES, listConfigResources);

function listConfigResources(
	{ resourceTypes }: ListConfigResourcesRequest,
	exchange: Exchange,
): ListConfigResourcesResponse {
	const { apiVersion, host } = exchange;
	if (!exchange.allows("cluster", CLUSTER_NAME)) {
		return { errorCode: CODES.CLUSTER_AUTHORIZATION_FAILED.code, configResources: [] };
	}
	if (resourceTypes.some((type) => !TYPES.has(type))) {
		return { errorCode: CODES.UNSUPPORTED_VERSION.code, configResources: [] };
	}
	if (apiVersion < TYPES_VERSION) return { errorCode: CODES.NONE.code, configResources: [] };
	const types = resourceTypes.length === 0 ? TYPES : new Set(resourceTypes);
	const configResources: ListConfigResourcesResponse["configResources"][number][] = [];
	for (const resourceType of [RESOURCE.brokerLogger, RESOURCE.broker]) {
		if (types.has(resourceType)) {
			configResources.push({ resourceName: `${host.brokerId}`, resourceType });
		}
	}
	if (types.has(RESOURCE.topic)) {
		for (const { name } of host.catalogue.list()) {
			configResources.push({ resourceName: name, resourceType: RESOURCE.topic });
		}
	}
	if (types.has(RESOURCE.group)) {
		for (const groupId of host.groups.configs.list()) {
			configResources.push({ resourceName: groupId, resourceType: RESOURCE.group });
		}
	}
	return { errorCode: CODES.NONE.code, configResources };
}
