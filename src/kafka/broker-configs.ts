/**
 * What Kafka's tools are told of the broker's configuration: the options that Kafka has too, the
 * defaults of topics, and facts that tools ask for by name.
 */
import { resolve } from "node:path";

import { formatAddress } from "../config/address.ts";
import { OPTIONS } from "../config/options.ts";
import { alterable, type Setting, settingsOf } from "../config/settings.ts";
import { LIMITS } from "../limits.ts";
import { CONFIG_SOURCE, type ConfigEntry, defaultSynonym, sourceOf } from "./config-entries.ts";
import type { Exchange } from "./exchange.ts";
import { brokerAddress } from "./node.ts";

/** The whole configuration of the broker, by name. */
export function brokerConfigs(exchange: Exchange): ConfigEntry[] {
	const settings = settingsOf(exchange.host.overrides.live).filter(({ isKafkas }) => isKafkas);
	const entries = [...settings.map(entryOf), ...facts(exchange)];
	return entries.sort((left, right) => (left.name < right.name ? -1 : 1));
}

function entryOf({ name, value, type, isAlterable, doc, values }: Setting): ConfigEntry {
	const synonyms = values.map(defaultSynonym);
	const source = sourceOf(synonyms);
	return { name, value, type, source, readOnly: !isAlterable, documentation: doc, synonyms };
}

/** What was set for all brokers of the cluster while they ran, by name. */
export function clusterConfigs({ host }: Exchange): ConfigEntry[] {
	const { cluster } = host.overrides.live.overrides;
	const entries: ConfigEntry[] = [];
	for (const [name, value] of cluster) {
		const described = alterable(name);
		if (described === undefined) continue;
		const { type, doc } = described;
		const set = { name, value, source: CONFIG_SOURCE.dynamicCluster };
		entries.push({ ...set, type, readOnly: false, documentation: doc, synonyms: [set] });
	}
	return entries.sort((left, right) => (left.name < right.name ? -1 : 1));
}

function facts(exchange: Exchange): ConfigEntry[] {
	const { brokerId, config, storage } = exchange.host;
	const advertised = formatAddress(brokerAddress(exchange));
	// Port 0 had a free one picked, which is what the client dialled.
	const port = config.kafka.port || exchange.origin.localPort;
	const protocol = config.kafkaSecurityProtocol;
	const listens = `${protocol}://${formatAddress({ ...config.kafka, port })}`;
	const limit = (name: string, value: number, doc: string) => entry(name, "INT", `${value}`, doc);
	return [
		entry("advertised.listeners", "LIST", `${protocol}://${advertised}`, OPTIONS.advertise.doc),
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
	type: ConfigEntry["type"],
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
