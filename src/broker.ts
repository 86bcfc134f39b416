/**
 * A broker: storage, the catalogue of topics and the listeners, started in the order in which they
 * need each other and stopped the other way round.
 */
import {
	type BrokerAddresses,
	reachableAddresses,
	removeAddresses,
	writeAddresses,
} from "./addresses.ts";
import { systemClock } from "./clock.ts";
import type { BrokerConfig } from "./config.ts";
import { ConnectionLimit } from "./connection-limit.ts";
import { GroupCoordinator } from "./groups/coordinator.ts";
import { GroupConfigs } from "./groups/group-configs.ts";
import { KafkaServer, type KafkaServerOptions } from "./kafka/server.ts";
import type { Logger } from "./log.ts";
import { EmbeddedMetadataStore } from "./metadata/embedded-store.ts";
import { MetadataWriter, type OpenedMetadata } from "./metadata/metadata-writer.ts";
import { ProducerIds } from "./producer-ids.ts";
import type { CallAnswer } from "./protocol/calls.ts";
import { type OpeningProgress, Storage } from "./storage/storage.ts";
import { StorageWatch } from "./storage/storage-watch.ts";
import { TopicCatalogue } from "./topics/catalogue.ts";
import { TopicDefaults } from "./topics/topic-defaults.ts";
import { VERSION } from "./version.ts";
import { healthHandler } from "./websocket/http.ts";
import { WebSocketServer } from "./websocket/server.ts";
import { authenticateAnybody } from "./websocket/session-host.ts";

/** A broker that stands alone is number 1, as in Kafka's own quick start. */
const BROKER_ID = 1;

/** How often it is told how far recovery has come, in milliseconds. */
const RECOVERING_MS = 1_000;

export interface BrokerEnvironment {
	/** Nothing is stored on disk, and there is no `addresses.json`. */
	readonly memory: boolean;
	readonly logger: Logger;
	/** Told about once a second how far recovery has come, while there is more of it to do. */
	readonly onRecovering?: (progress: OpeningProgress) => void;
}

/** A running broker. */
export class Broker {
	/** Where clients connect. */
	readonly addresses: BrokerAddresses;
	readonly #parts: Parts;
	#closing: Promise<void> | undefined;

	/** @internal */
	constructor(parts: Parts, addresses: BrokerAddresses) {
		this.#parts = parts;
		this.addresses = addresses;
	}

	/** The id that the data directory was given when it was made. */
	get clusterId(): string {
		return this.#parts.storage.clusterId;
	}

	/**
	 * Stops in order: no new connections, open ones told and closed with 1001, everything flushed,
	 * files unlocked. Every call waits for the same stop. Rejects when storage could not be closed in
	 * order; what was acknowledged is safe then, too.
	 */
	close(): Promise<void> {
		this.#closing ??= stopParts(this.#parts);
		return this.#closing;
	}
}

/** What a broker is made of, as far as it has been started. */
interface Parts {
	readonly storage: Storage;
	/** Where `addresses.json` lies; null in memory. */
	readonly dataDir: string | null;
	catalogue?: TopicCatalogue;
	groups?: GroupCoordinator;
	server?: WebSocketServer;
	kafka?: KafkaServer;
	watch?: StorageWatch;
	isReady: boolean;
}

/**
 * Starts a broker; resolves when it serves. Rejects with what storage says of the data directory
 * (DATA_DIRECTORY_IN_USE, DATA_DIRECTORY_NEWER, UNSUITABLE_FILE_SYSTEM, DATA_DAMAGED) or with the
 * system's error for an address that cannot be listened on; then everything that was started is
 * stopped again.
 */
export async function startBroker(
	config: BrokerConfig,
	{ memory, logger, onRecovering = () => undefined }: BrokerEnvironment,
): Promise<Broker> {
	const startedMs = systemClock.wallMs();
	const { dataDir, logFlushJournalEnable: flushJournal } = config;
	const storage = await Storage.open({ dataDir, memory, owner: true, flushJournal });
	const parts: Parts = { storage, dataDir: memory ? null : dataDir, isReady: false };
	try {
		// Ours by now: what a broker before us has left there no longer holds.
		if (parts.dataDir !== null) await removeAddresses(parts.dataDir);
		const opened = await MetadataWriter.open(new EmbeddedMetadataStore(storage));
		const recovering = setInterval(() => onRecovering(storage.openingProgress), RECOVERING_MS);
		try {
			parts.catalogue = await openCatalogue(config, storage, opened, logger);
		} finally {
			clearInterval(recovering);
			// Complete only now: opening the topics recovers their logs.
			for (const entry of storage.recoveryReport) logger.warn({ ...entry }, "recovery");
		}
		parts.groups = startGroups(config, storage, opened, parts.catalogue, logger);
		const producerIds = new ProducerIds(storage);
		const shared: SharedOptions = {
			storage,
			metadata: opened.metadata,
			catalogue: parts.catalogue,
			groups: parts.groups,
			nextProducerId: () => producerIds.next(),
			connections: new ConnectionLimit(config.maxConnections, systemClock, logger),
			clock: systemClock,
			log: logger,
		};
		parts.server = await startServer(config, parts, { ...shared, producerIds });
		const { kafka: address } = config;
		parts.kafka = await KafkaServer.start({ ...shared, address, brokerId: BROKER_ID, config });
		const { transport } = parts.server.address;
		const addresses = addressesOf(parts);
		// Before the file appears: whoever waits for it asks /ready next.
		parts.isReady = true;
		const { dataDir } = parts;
		const makeRoom = () => storage.giveUpReserve();
		if (dataDir !== null && !(await writeAddresses(dataDir, addresses, startedMs, makeRoom))) {
			logger.warn({ dataDir }, "the disk is full: there is no addresses.json");
		}
		storage.startUpkeep(config);
		parts.watch = new StorageWatch(storage, systemClock, logger);
		const topics = parts.catalogue.list().length;
		logger.info({ ...addresses, dataDir: parts.dataDir, topics, transport }, "ready");
		return new Broker(parts, addresses);
	} catch (error) {
		await stopParts(parts).catch((stopError: unknown) => {
			logger.error({ err: stopError }, "stopping after a failed start failed, too");
		});
		throw error;
	}
}

function openCatalogue(
	config: BrokerConfig,
	storage: Storage,
	opened: OpenedMetadata,
	logger: Logger,
): Promise<TopicCatalogue> {
	return TopicCatalogue.open(storage, opened, {
		partitionsDefault: config.numPartitions,
		createsAutomatically: config.autoCreateTopicsEnable,
		defaults: new TopicDefaults(config.topicDefaults),
		onDeletionFailed: (topic, error) => {
			logger.error({ err: error, topic }, "a deleted topic's files could not be removed yet");
		},
	});
}

/** Groups are read while the broker serves everything else. */
function startGroups(
	config: BrokerConfig,
	storage: Storage,
	opened: OpenedMetadata,
	catalogue: TopicCatalogue,
	logger: Logger,
): GroupCoordinator {
	const groups = new GroupCoordinator({
		options: config,
		configs: GroupConfigs.open(opened, config),
		storage,
		catalogue,
		clock: systemClock,
		log: logger,
	});
	groups.load().catch((error: unknown) => {
		logger.error({ err: error }, "loading groups failed");
	});
	return groups;
}

/** What all listeners have in common. */
type SharedOptions = Omit<KafkaServerOptions, "address" | "brokerId" | "config">;

async function startServer(
	config: BrokerConfig,
	parts: Parts,
	shared: SharedOptions & { producerIds: ProducerIds },
): Promise<WebSocketServer> {
	return WebSocketServer.start({
		...shared,
		...config.websocket,
		transport: config.websocketTransport,
		allowedOrigins: config.allowedOrigins,
		broker: `millrace/${VERSION}`,
		describeCluster: () => describeCluster(parts),
		authenticate: authenticateAnybody,
		http: healthHandler(() => parts.isReady),
	});
}

/** Where the listeners that have been started can be reached. */
function addressesOf({ server, kafka }: Parts): BrokerAddresses {
	return reachableAddresses(server?.address ?? { host: "", port: 0 }, kafka?.address ?? null);
}

function describeCluster(parts: Parts): CallAnswer<"cluster.describe"> {
	const { websocket, kafka } = addressesOf(parts);
	return {
		cluster_id: parts.storage.clusterId,
		brokers: [{ id: BROKER_ID, version: VERSION, websocket, kafka }],
		controller_id: BROKER_ID,
	};
}

/**
 * Stops what has been started, the last first; goes on past failures and rejects with the first of
 * them.
 */
async function stopParts(parts: Parts): Promise<void> {
	parts.isReady = false;
	parts.watch?.stop();
	const failures: unknown[] = [];
	const attempt = async (step: () => Promise<void> | undefined) => {
		try {
			await step();
		} catch (error) {
			failures.push(error);
		}
	};
	// Whoever waits for a group is answered, or the connections would have to be cut.
	await attempt(async () => parts.groups?.close());
	await attempt(async () => {
		await Promise.all([parts.server?.close(), parts.kafka?.close()]);
	});
	await attempt(() => parts.catalogue?.close());
	// Before the lock goes: afterwards the file may be that of the next broker.
	const { dataDir } = parts;
	if (dataDir !== null) await attempt(() => removeAddresses(dataDir));
	await attempt(() => parts.storage.close());
	if (failures.length > 0) throw failures[0];
}
