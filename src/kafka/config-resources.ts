/** Resources that have a configuration: which of them there are, and what it is. */
import { MillraceError } from "../errors.ts";
import { checkTopicName } from "../topics/names.ts";
import { brokerConfigs } from "./broker-configs.ts";
import { type ConfigEntry, RESOURCE, topicConfigs } from "./config-entries.ts";
import type { Exchange } from "./exchange.ts";
import { groupConfigs } from "./group-configs.ts";

/** A resource as requests name it. */
export interface Resource {
	readonly resourceType: number;
	readonly resourceName: string;
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
			// There is one logger, whose level is an option of the broker.
			if (resourceName === "") throw invalid("a broker's loggers are asked for by its number");
			checkBrokerName(resourceName, exchange);
			return [];
		case RESOURCE.group:
			if (resourceName === "") throw invalid("a group's name is not empty");
			return groupConfigs(resourceName, exchange);
		default:
			throw unknownType(resourceType);
	}
}

/** Without a number it is about defaults of all brokers that were set while they ran: none. */
function configsOfBroker(resourceName: string, exchange: Exchange): ConfigEntry[] {
	if (resourceName === "") return [];
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
