/**
 * What Kafka's tools are told of the broker's configuration: the options that Kafka has too, the
 * defaults of topics, and facts that tools ask for by name. Nothing of it changes while the broker
 * runs.
 */
import { resolve } from "node:path";

import { type BrokerConfig, formatAddress, OPTIONS } from "../config.ts";
import { LIMITS } from "../limits.ts";
import { DEFAULT_OPTIONS, defaultDoc, type TopicDefaults } from "../topics/topic-defaults.ts";
import { CONFIG_SOURCE, type ConfigEntry, defaultSynonym, sourceOf } from "./config-entries.ts";
import type { Exchange } from "./exchange.ts";
import { brokerAddress } from "./node.ts";

type TypeName = ConfigEntry["type"];

/** Kafka's types of the options that are Kafka's; null: an option of Millrace's own. */
const OPTION_TYPES: Readonly<Record<keyof typeof OPTIONS, TypeName | null>> = {
	dataDir: null,
	websocket: null,
	kafka: null,
	advertise: null,
	maxConnections: "INT",
	connectionsMaxIdleMs: "LONG",
	numPartitions: "INT",
	autoCreateTopicsEnable: "BOOLEAN",
	groupInitialRebalanceDelayMs: "INT",
	groupMinSessionTimeoutMs: "INT",
	groupMaxSessionTimeoutMs: "INT",
	groupMaxSize: "INT",
	groupConsumerSessionTimeoutMs: "INT",
	groupConsumerMinSessionTimeoutMs: "INT",
	groupConsumerMaxSessionTimeoutMs: "INT",
	groupConsumerHeartbeatIntervalMs: "INT",
	groupConsumerMinHeartbeatIntervalMs: "INT",
	groupConsumerMaxHeartbeatIntervalMs: "INT",
	groupConsumerMaxSize: "INT",
	groupConsumerAssignors: "LIST",
	groupConsumerMigrationPolicy: "STRING",
	offsetMetadataMaxBytes: "INT",
	offsetsRetentionMinutes: "INT",
	offsetsRetentionCheckIntervalMs: "LONG",
	offsetsTopicNumPartitions: "INT",
	logRetentionCheckIntervalMs: "LONG",
	logCleanerEnable: "BOOLEAN",
	logCleanerBackoffMs: "LONG",
	logCleanerDedupeBufferSize: "LONG",
	logCleanerIoMaxBytesPerSecond: "DOUBLE",
	logFlushJournalEnable: null,
	scrubMaxBytesPerSecond: null,
	allowedOrigins: null,
	websocketTransport: null,
	logLevel: null,
};

/** The whole configuration of the broker, by name. */
export function brokerConfigs(exchange: Exchange): ConfigEntry[] {
	const entries = [
		...optionConfigs(exchange.host.config),
		...topicDefaultConfigs(exchange.host.catalogue.defaults),
		...facts(exchange),
	];
	return entries.sort((left, right) => (left.name < right.name ? -1 : 1));
}

function optionConfigs(config: BrokerConfig): ConfigEntry[] {
	const entries: ConfigEntry[] = [];
	for (const key of Object.keys(OPTION_TYPES) as (keyof typeof OPTIONS)[]) {
		const type = OPTION_TYPES[key];
		if (type === null) continue;
		const { name, default: defaultValue, doc } = OPTIONS[key];
		entries.push(entry(name, type, String(config[key]), doc, defaultValue));
	}
	return entries;
}

/** What topics have that do not set it themselves. */
function topicDefaultConfigs(defaults: TopicDefaults): ConfigEntry[] {
	return [...DEFAULT_OPTIONS.values()].map((option) => {
		const { name, type } = option;
		const synonyms = defaults.valuesOf(option).map(defaultSynonym);
		return {
			name,
			value: synonyms[0]?.value ?? null,
			type,
			source: sourceOf(synonyms),
			readOnly: true,
			documentation: defaultDoc(option),
			synonyms,
		};
	});
}

function facts(exchange: Exchange): ConfigEntry[] {
	const { brokerId, config, storage } = exchange.host;
	const advertised = formatAddress(brokerAddress(exchange));
	// Port 0 had a free one picked, which is what the client dialled.
	const port = config.kafka.port || exchange.origin.localPort;
	const listens = `PLAINTEXT://${formatAddress({ ...config.kafka, port })}`;
	const limit = (name: string, value: number, doc: string) => entry(name, "INT", `${value}`, doc);
	return [
		entry("advertised.listeners", "LIST", `PLAINTEXT://${advertised}`, OPTIONS.advertise.doc),
		limit("broker.id", brokerId, "This broker's number."),
		limit("default.replication.factor", 1, "Replicas of a topic for which nobody asks a number."),
		entry("delete.topic.enable", "BOOLEAN", "true", "Topics can be deleted."),
		limit("fetch.max.bytes", LIMITS.kafkaFetchBytesMax, "Bytes of one fetch answer."),
		entry("listeners", "LIST", listens, OPTIONS.kafka.doc),
		entry("log.dirs", "LIST", logDirOf(storage.dataDir), OPTIONS.dataDir.doc),
		limit(
			"max.incremental.fetch.session.cache.slots",
			LIMITS.fetchSessionsMax,
			"Fetch sessions that are remembered.",
		),
		limit(
			"max.request.partition.size.limit",
			LIMITS.kafkaDescribedPartitionsMax,
			"Partitions that one answer to DescribeTopicPartitions tells of.",
		),
		limit("node.id", brokerId, "This broker's number."),
		entry("offsets.topic.replication.factor", "SHORT", "1", "Replicas of the offsets topic."),
		entry("process.roles", "LIST", "broker,controller", "The one broker does everything."),
		limit("socket.request.max.bytes", LIMITS.kafkaFrameBytesMax, "Bytes of one request."),
	];
}

/** The log directory as clients are told of it. */
export function logDirOf(dataDir: string | null): string {
	return dataDir === null ? "memory" : resolve(dataDir);
}

/** A setting; without a default it is always as it is. */
function entry(
	name: string,
	type: TypeName,
	value: string,
	documentation: string,
	defaultValue = value,
): ConfigEntry {
	const byDefault = { name, value: defaultValue, source: CONFIG_SOURCE.default };
	const isDefault = value === defaultValue;
	return {
		name,
		value,
		type,
		source: isDefault ? CONFIG_SOURCE.default : CONFIG_SOURCE.staticBroker,
		readOnly: true,
		documentation,
		synonyms: isDefault
			? [byDefault]
			: [{ name, value, source: CONFIG_SOURCE.staticBroker }, byDefault],
	};
}
