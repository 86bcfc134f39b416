/**
 * DescribeConfigs: v1-4.
 *
 * Behavior:
 * - Topics: every setting that may be set; those that only have one value here are read-only.
 * - Brokers: this one, by its number. Without a name: what was set for all brokers while they ran.
 * - Groups: what members of KIP-848 groups are told, whether there is such a group or not.
 * - Loggers: the level of every area of the log, and of `root` (KIP-412).
 * - Subscriptions of client metrics and other types are INVALID_REQUEST.
 * - Without keys, or with an empty list of them, all settings are answered.
 *
 * Version notes:
 * - v1: sources and synonyms (KIP-226).  v3: types and documentation (KIP-569).
 */
import { CODES } from "../../protocol/codes.ts";
import { reportedFailure } from "../codes.ts";
import { CONFIG_TYPE, type ConfigEntry } from "../config-entries.ts";
import { checkConfigAccess, configsOf } from "../config-resources.ts";
import type { Exchange } from "../exchange.ts";
import {
	DESCRIBE_CONFIGS,
	type DescribeConfigsRequest,
	type DescribeConfigsResponse,
} from "../generated/32-describe-configs.ts";
import { checkNamedCount } from "../requests.ts";
import { serveLongApi } from "../turns.ts";

type RequestResource = DescribeConfigsRequest["resources"][number];
type ResponseResource = DescribeConfigsResponse["results"][number];

export const describeConfigsApi = serveLongApi(DESCRIBE_CONFIGS, "results", describeConfigs);

function describeConfigs(request: DescribeConfigsRequest, exchange: Exchange) {
	const { resources } = request;
	checkNamedCount(resources.length);
	return {
		rest: {},
		count: resources.length,
		elementAt: (index: number) => describe(resources[index] as RequestResource, request, exchange),
	};
}

function describe(
	resource: RequestResource,
	request: DescribeConfigsRequest,
	exchange: Exchange,
): ResponseResource {
	const { resourceType, resourceName, configurationKeys } = resource;
	try {
		checkConfigAccess(resource, exchange);
		const keys = new Set(configurationKeys);
		const configs = configsOf(resource, exchange)
			.filter(({ name }) => keys.size === 0 || keys.has(name))
			.map((entry) => respond(entry, request));
		// An empty message where there is no error, as in Kafka.
		return { errorCode: CODES.NONE.code, errorMessage: "", resourceType, resourceName, configs };
	} catch (error) {
		return { ...reportedFailure(error, exchange), resourceType, resourceName, configs: [] };
	}
}

function respond(
	{ name, value, readOnly, source, synonyms, type, documentation }: ConfigEntry,
	{ includeSynonyms, includeDocumentation }: DescribeConfigsRequest,
) {
	return {
		name,
		value,
		readOnly,
		configSource: source,
		isSensitive: false,
		synonyms: includeSynonyms ? synonyms : [],
		configType: CONFIG_TYPE[type],
		documentation: includeDocumentation ? documentation : null,
	};
}
