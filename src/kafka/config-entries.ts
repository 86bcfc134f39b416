/** Settings in the form in which DescribeConfigs and CreateTopics tell them. */
import {
	type ConfigurationDescription,
	describeConfiguration,
	type TopicOverrides,
} from "../topics/configuration.ts";
import type { DefaultValue, TopicDefaults } from "../topics/topic-defaults.ts";

/** What can have a configuration, by Kafka's numbers. */
export const RESOURCE = {
	topic: 2,
	broker: 4,
	brokerLogger: 8,
	clientMetrics: 16,
	group: 32,
} as const;

/** Where a value comes from, by Kafka's numbers. */
export const CONFIG_SOURCE = {
	topic: 1,
	dynamicBroker: 2,
	dynamicCluster: 3,
	staticBroker: 4,
	default: 5,
	brokerLogger: 6,
	group: 8,
} as const;

/**
 * Where a topic's value comes from. CreateTopics tells it so; DescribeConfigs has Kafka's own idea
 * of it (`sourceOf`).
 */
export const CONFIG_SOURCE_OF: Readonly<Record<ConfigurationDescription["source"], number>> = {
	topic: CONFIG_SOURCE.topic,
	broker: CONFIG_SOURCE.staticBroker,
	default: CONFIG_SOURCE.default,
};

/** What a value is, by Kafka's numbers. */
export const CONFIG_TYPE = {
	UNKNOWN: 0,
	BOOLEAN: 1,
	STRING: 2,
	INT: 3,
	SHORT: 4,
	LONG: 5,
	DOUBLE: 6,
	LIST: 7,
} as const;

/** One setting. None of them is sensitive. */
export interface ConfigEntry {
	readonly name: string;
	readonly value: string | null;
	readonly type: keyof typeof CONFIG_TYPE;
	readonly source: number;
	readonly readOnly: boolean;
	readonly documentation: string;
	/** Every value there is for it, the one in force first. */
	readonly synonyms: readonly ConfigSynonym[];
}

export interface ConfigSynonym {
	readonly name: string;
	readonly value: string;
	readonly source: number;
}

/** The whole configuration of a topic, by name. */
export function topicConfigs(overrides: TopicOverrides, defaults: TopicDefaults): ConfigEntry[] {
	return describeConfiguration(overrides, defaults).map((description) => {
		const { name, value, type, readOnly, doc, pending } = description;
		const synonyms = defaults.valuesFor(name).map(defaultSynonym);
		if (overrides.has(name)) synonyms.unshift({ name, value, source: CONFIG_SOURCE.topic });
		return {
			name,
			value,
			type,
			source: sourceOf(synonyms),
			readOnly,
			documentation: pending === null ? doc : `${doc} (${pending})`,
			synonyms,
		};
	});
}

/** A default of topics as one of an entry's synonyms. */
export function defaultSynonym({ name, value, source }: DefaultValue): ConfigSynonym {
	return { name, value, source: DEFAULT_SOURCE[source] };
}

const DEFAULT_SOURCE: Readonly<Record<DefaultValue["source"], number>> = {
	broker: CONFIG_SOURCE.dynamicBroker,
	cluster: CONFIG_SOURCE.dynamicCluster,
	start: CONFIG_SOURCE.staticBroker,
	"built-in": CONFIG_SOURCE.default,
};

/** Where a value comes from: as in Kafka it is a default where no synonym says otherwise. */
export function sourceOf([first]: readonly ConfigSynonym[]): number {
	return first?.source ?? CONFIG_SOURCE.default;
}
