/** Settings in the form in which DescribeConfigs and CreateTopics tell them. */
import {
	type ConfigurationDescription,
	describeConfiguration,
	type TopicOverrides,
} from "../topics/configuration.ts";

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
	staticBroker: 4,
	default: 5,
	group: 8,
} as const;

/** What a value is, by Kafka's numbers. */
export const CONFIG_TYPE = {
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

/**
 * The broker's names for the defaults of topics, as in Kafka; those that are not here have none.
 */
export const TOPIC_DEFAULTS: ReadonlyMap<string, string> = new Map([
	["cleanup.policy", "log.cleanup.policy"],
	["compression.gzip.level", "compression.gzip.level"],
	["compression.lz4.level", "compression.lz4.level"],
	["compression.type", "compression.type"],
	["compression.zstd.level", "compression.zstd.level"],
	["delete.retention.ms", "log.cleaner.delete.retention.ms"],
	["file.delete.delay.ms", "log.segment.delete.delay.ms"],
	["flush.messages", "log.flush.interval.messages"],
	["flush.ms", "log.flush.interval.ms"],
	["index.interval.bytes", "log.index.interval.bytes"],
	["local.retention.bytes", "log.local.retention.bytes"],
	["local.retention.ms", "log.local.retention.ms"],
	["max.compaction.lag.ms", "log.cleaner.max.compaction.lag.ms"],
	["max.message.bytes", "message.max.bytes"],
	["message.timestamp.after.max.ms", "log.message.timestamp.after.max.ms"],
	["message.timestamp.before.max.ms", "log.message.timestamp.before.max.ms"],
	["message.timestamp.type", "log.message.timestamp.type"],
	["min.cleanable.dirty.ratio", "log.cleaner.min.cleanable.ratio"],
	["min.compaction.lag.ms", "log.cleaner.min.compaction.lag.ms"],
	["min.insync.replicas", "min.insync.replicas"],
	["preallocate", "log.preallocate"],
	["retention.bytes", "log.retention.bytes"],
	["retention.ms", "log.retention.ms"],
	["segment.bytes", "log.segment.bytes"],
	["segment.index.bytes", "log.index.size.max.bytes"],
	["segment.jitter.ms", "log.roll.jitter.ms"],
	["segment.ms", "log.roll.ms"],
	["unclean.leader.election.enable", "unclean.leader.election.enable"],
]);

/** The whole configuration of a topic, by name. */
export function topicConfigs(overrides: TopicOverrides): ConfigEntry[] {
	return describeConfiguration(overrides).map(topicConfig);
}

function topicConfig(description: ConfigurationDescription): ConfigEntry {
	const { name, value, type, readOnly, doc, pending } = description;
	const isOverride = description.source === "topic";
	const synonyms: ConfigSynonym[] = [];
	if (isOverride) synonyms.push({ name, value, source: CONFIG_SOURCE.topic });
	synonyms.push({
		name: TOPIC_DEFAULTS.get(name) ?? name,
		value: description.default,
		source: CONFIG_SOURCE.default,
	});
	return {
		name,
		value,
		type,
		source: isOverride ? CONFIG_SOURCE.topic : CONFIG_SOURCE.default,
		readOnly,
		documentation: pending === null ? doc : `${doc} (${pending})`,
		synonyms,
	};
}
