/** Resources that have a configuration: which of them there are, and what it is. */

import { MillraceError } from "../errors.ts";
import { checkTopicName } from "../topics/names.ts";
import { checkAllowed, checkAllowedOnCluster } from "./access.ts";
import { brokerConfigs, clusterConfigs } from "./broker-configs.ts";
import { type ConfigEntry, RESOURCE, topicConfigs } from "./config-entries.ts";
import type { Exchange } from "./exchange.ts";
import { groupConfigs } from "./group-configs.ts";
import { loggerConfigs } from "./logger-configs.ts";

/** A resource as requests name it. */
export interface Resource {
	readonly resourceType: number;
	readonly resourceName: string;
}

/**
 * Throws TOPIC_AUTHORIZATION_FAILED and the like unless the client may do with the configuration of
 * the resource what the request is for.
 */
export function checkConfigAccess(
	{ resourceType, resourceName }: Resource,
	exchange: Exchange,
): void {
	if (resourceType === RESOURCE.topic) checkAllowed(exchange, "topic", resourceName);
	else if (resourceType === RESOURCE.group) checkAllowed(exchange, "group", resourceName);
	else checkAllowedOnCluster(exchange);
}

/**
 * The whole configuration of a resource, by name. Throws UNKNOWN_TOPIC_OR_PARTITION,
 * INVALID_TOPIC_EXCEPTION, or INVALID_REQUEST for what else there is not.
 */
export function configsOf({ resourceType, resourceName }: Resource, exchange: Exchange) {
	switch (resourceType) {
		case RESOURCE.topic: {
			checkTopicName(resourceName);
			const { catalogue } = exchange.host;
			const topic = catalogue.get(resourceName);
			if (topic === undefined) throw new MillraceError("UNKNOWN_TOPIC_OR_PARTITION", resourceName);
			return topicConfigs(topic.overrides, catalogue.defaults);
		}
		case RESOURCE.broker:
			return configsOfBroker(resourceName, exchange);
		case RESOURCE.brokerLogger:
			if (resourceName === "") throw invalid("a broker's loggers are asked for by its number");
			checkBrokerName(resourceName, exchange);
			return loggerConfigs(exchange.host.logs);
		case RESOURCE.group:
			if (resourceName === "") throw invalid("a group's name is not empty");
			return groupConfigs(resourceName, exchange);
		default:
			throw unknownType(resourceType);
	}
}

/** Without a number it is about what was set for all brokers while they ran. */
function configsOfBroker(resourceName: string, exchange: Exchange): ConfigEntry[] {
	if (resourceName === "") return clusterConfigs(exchange);
	checkBrokerName(resourceName, exchange);
	return brokerConfigs(exchange);
}

/** Throws INVALID_REQUEST unless the name is this broker's number. */
export function checkBrokerName(resourceName: string, { host }: Exchange): void {
	if (resourceName === `${host.brokerId}`) return;
	const shown = JSON.stringify(resourceName.slice(0, 100));
	throw invalid(`this is broker ${host.brokerId}, not ${shown}`);
}

/** The error for resources that have no configuration here. */
export function unknownType(resourceType: number): MillraceError {
	return invalid(`there is no configuration of resource type ${resourceType}`);
}

function invalid(particular: string): MillraceError {
	return new MillraceError("INVALID_REQUEST", particular);
}
