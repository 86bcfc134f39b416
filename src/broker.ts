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
import { AuditLog } from "./audit/audit-log.ts";
import { AuditTopic } from "./audit/audit-topic.ts";
import { type Clock, systemClock } from "./clock.ts";
import type { LiveConfig } from "./config/live.ts";
import type { BrokerConfig } from "./config/options.ts";
import { OverrideStore } from "./config/override-store.ts";
import { ConnectionLimit } from "./connection-limit.ts";
import { GroupCoordinator } from "./groups/coordinator.ts";
import { GroupConfigs } from "./groups/group-configs.ts";
import { apiRoutes } from "./http/api/api.ts";
import { HttpAuthentication } from "./http/api/authentication.ts";
import { guardedRoute } from "./http/api/guarded-route.ts";
import { healthRoutes, router } from "./http/router.ts";
import { KafkaServer, type KafkaServerOptions } from "./kafka/server.ts";
import type { Logger, Logs } from "./log.ts";
import { EmbeddedMetadataStore } from "./metadata/embedded-store.ts";
import { MetadataWriter, type OpenedMetadata } from "./metadata/metadata-writer.ts";
import type { WatchedClient } from "./monitoring/client-watch.ts";
import type { MetricSources } from "./monitoring/collector.ts";
import { metricsRoute } from "./monitoring/route.ts";
import { TopicTraffic } from "./monitoring/topic-traffic.ts";
import { ProducerIds } from "./producer-ids.ts";
import type { CallAnswer } from "./protocol/calls.ts";
import { ClientQuotas } from "./quotas/client-quotas.ts";
import { QuotaStore } from "./quotas/quota-store.ts";
import { AclAuthorizer, NO_AUTHORIZATION } from "./security/authorizer.ts";
import { usesSasl, usesTls } from "./security/options.ts";
import { Security } from "./security/security.ts";
import type { Users } from "./security/users.ts";
import { type OpeningProgress, Storage } from "./storage/storage.ts";
import { StorageWatch } from "./storage/storage-watch.ts";
import { TopicCatalogue } from "./topics/catalogue.ts";
import { VERSION } from "./version.ts";
import { authenticateWith } from "./websocket/credentials.ts";
import { WebSocketServer } from "./websocket/server.ts";
import { authenticateAnybody } from "./websocket/session-host.ts";

/** A broker that stands alone is number 1, as in Kafka's own quick start. */
const BROKER_ID = 1;

/** How often it is told how far recovery has come, in milliseconds. */
const RECOVERING_MS = 1_000;

export interface BrokerEnvironment {
	/** Nothing is stored on disk, and there is no `addresses.json`. */
	readonly memory: boolean;
	readonly logs: Logs;
	/** Default: the machine's. */
	readonly clock?: Clock;
	/** Told about once a second how far recovery has come, while there is more of it to do. */
	readonly onRecovering?: (progress: OpeningProgress) => void;
}

/** A running broker. */
export class Broker {
	/** Where clients connect. */
	readonly addresses: BrokerAddresses;
	readonly #parts: BrokerParts;
	#closing: Promise<void> | undefined;

	/** @internal */
	constructor(parts: BrokerParts, addresses: BrokerAddresses) {
		this.#parts = parts;
		this.addresses = addresses;
	}

	/** The id that the data directory was given when it was made. */
	get clusterId(): string {
		return this.#parts.storage.clusterId;
	}

	/** Reads certificates again. Those that cannot be used are logged, and leave what there was. */
	async reloadCertificates(): Promise<void> {
		await this.#parts.security?.tls?.reload();
	}

	/** Those who may log in. */
	get users(): Users {
		const { security } = this.#parts;
		if (security === undefined) throw new Error("the broker has not started");
		return security.users;
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

	/** `await using broker = await startBroker()` stops it at the end of the block. */
	[Symbol.asyncDispose](): Promise<void> {
		return this.close();
	}
}

/** What a broker is made of, as far as it has been started. */
export interface BrokerParts {
	readonly clock: Clock;
	readonly storage: Storage;
	/** Where `addresses.json` lies; null in memory. */
	readonly dataDir: string | null;
	catalogue?: TopicCatalogue;
	groups?: GroupCoordinator;
	server?: WebSocketServer;
	kafka?: KafkaServer;
	connections?: ConnectionLimit;
	quotas?: ClientQuotas;
	security?: Security;
	audit?: AuditLog;
	watch?: StorageWatch;
	isReady: boolean;
}

/** Starts a broker; see `startBrokerAs`. */
export function startBroker(live: LiveConfig, environment: BrokerEnvironment): Promise<Broker> {
	return startBrokerAs(live, environment, (parts, addresses) => new Broker(parts, addresses));
}

/**
 * Starts a broker; resolves to what `make` makes of it when it serves. Rejects with what storage
 * says of the data directory (DATA_DIRECTORY_IN_USE, DATA_DIRECTORY_NEWER, UNSUITABLE_FILE_SYSTEM,
 * DATA_DAMAGED) or with the system's error for an address that cannot be listened on; then
 * everything that was started is stopped again.
 */
export async function startBrokerAs<Kind extends Broker>(
	live: LiveConfig,
	{ memory, logs, clock = systemClock, onRecovering = () => undefined }: BrokerEnvironment,
	make: (parts: BrokerParts, addresses: BrokerAddresses) => Kind,
): Promise<Kind> {
	const startedMs = systemClock.wallMs();
	const { config } = live;
	const { dataDir, logFlushJournalEnable: flushJournal } = config;
	const log = logs.of("broker");
	const storage = await Storage.open({ dataDir, memory, owner: true, flushJournal });
	const parts: BrokerParts = { clock, storage, dataDir: memory ? null : dataDir, isReady: false };
	try {
		// Ours by now: what a broker before us has left there no longer holds.
		if (parts.dataDir !== null) await removeAddresses(parts.dataDir);
		const opened = await MetadataWriter.open(new EmbeddedMetadataStore(storage));
		const overrides = await OverrideStore.open(opened, live, logs.of("config"));
		parts.security = await Security.open(config, opened, clock, logs.of("security"));
		const recovering = setInterval(() => onRecovering(storage.openingProgress), RECOVERING_MS);
		try {
			parts.catalogue = await openCatalogue(live, storage, opened, logs.of("topics"));
		} finally {
			clearInterval(recovering);
			// Complete only now: opening the topics recovers their logs.
			for (const entry of storage.recoveryReport) {
				logs.of("storage").warn({ ...entry }, "recovery");
			}
		}
		followDefaults(live, parts.catalogue);
		parts.groups = startGroups(config, parts, opened, parts.catalogue, logs.of("groups"));
		if (config.auditLogEnable) {
			parts.audit = await startAudit(parts.security, parts, parts.catalogue);
		}
		const producerIds = new ProducerIds(storage);
		parts.quotas = clientQuotas(config, clock, opened);
		const acls = config.authorizationEnable ? AclAuthorizer.open(opened, config) : null;
		const shared: SharedOptions = {
			storage,
			metadata: opened.metadata,
			overrides,
			catalogue: parts.catalogue,
			groups: parts.groups,
			authorizer: acls ?? NO_AUTHORIZATION,
			acls,
			audit: parts.audit ?? null,
			users: parts.security.users,
			quotas: parts.quotas,
			nextProducerId: () => producerIds.next(),
			connections: connectionLimit(live, clock, log),
			clock,
		};
		parts.connections = shared.connections;
		parts.server = await startServer(live, parts, parts.security, logs, {
			...shared,
			producerIds,
		});
		parts.kafka = await startKafka(config, parts.security, logs, shared);
		const { transport } = parts.server.address;
		const addresses = addressesOf(parts);
		// Before the file appears: whoever waits for it asks /ready next.
		parts.isReady = true;
		const { dataDir } = parts;
		const makeRoom = () => storage.giveUpReserve();
		if (dataDir !== null && !(await writeAddresses(dataDir, addresses, startedMs, makeRoom))) {
			log.warn({ dataDir }, "the disk is full: there is no addresses.json");
		}
		storage.startUpkeep(config);
		parts.watch = new StorageWatch(storage, clock, logs.of("storage"));
		const topics = parts.catalogue.list().length;
		log.info({ ...addresses, dataDir: parts.dataDir, topics, transport }, "ready");
		return make(parts, addresses);
	} catch (error) {
		await stopParts(parts).catch((stopError: unknown) => {
			log.error({ err: stopError }, "stopping after a failed start failed, too");
		});
		throw error;
	}
}

/** Has topics follow the broker's defaults of them. */
function followDefaults(live: LiveConfig, catalogue: TopicCatalogue): void {
	live.onChange("topicDefaults", () => catalogue.setDefaults(live.topicDefaults));
}

function clientQuotas(config: BrokerConfig, clock: Clock, opened: OpenedMetadata): ClientQuotas {
	const { quotaWindowNum: samples, quotaWindowSizeSeconds: seconds } = config;
	const window = { samples, sampleMs: seconds * 1_000 };
	return new ClientQuotas(QuotaStore.open(opened), clock, window);
}

function connectionLimit(live: LiveConfig, clock: Clock, logger: Logger): ConnectionLimit {
	const limit = new ConnectionLimit(live.config.maxConnections, clock, logger);
	live.onChange("maxConnections", () => {
		limit.max = live.config.maxConnections;
	});
	return limit;
}

function openCatalogue(
	{ config, topicDefaults }: LiveConfig,
	storage: Storage,
	opened: OpenedMetadata,
	logger: Logger,
): Promise<TopicCatalogue> {
	return TopicCatalogue.open(storage, opened, {
		partitionsDefault: config.numPartitions,
		createsAutomatically: config.autoCreateTopicsEnable,
		defaults: topicDefaults,
		onDeletionFailed: (topic, error) => {
			logger.error({ err: error, topic }, "a deleted topic's files could not be removed yet");
		},
	});
}

async function startAudit(
	security: Security,
	{ storage, clock }: BrokerParts,
	catalogue: TopicCatalogue,
): Promise<AuditLog> {
	const audit = new AuditLog(await AuditTopic.open(storage, catalogue), clock);
	security.failures.onRefused((login) => audit.loginRefused(login));
	return audit;
}

/** Groups are read while the broker serves everything else. */
function startGroups(
	config: BrokerConfig,
	{ storage, clock }: BrokerParts,
	opened: OpenedMetadata,
	catalogue: TopicCatalogue,
	logger: Logger,
): GroupCoordinator {
	const groups = new GroupCoordinator({
		options: config,
		configs: GroupConfigs.open(opened, config),
		storage,
		catalogue,
		clock,
		log: logger,
	});
	groups.load().catch((error: unknown) => {
		logger.error({ err: error }, "loading groups failed");
	});
	return groups;
}

/** What all listeners have in common. */
type SharedOptions = Omit<
	KafkaServerOptions,
	"address" | "brokerId" | "config" | "log" | "logs" | "sasl" | "tls"
>;

async function startServer(
	live: LiveConfig,
	parts: BrokerParts,
	security: Security,
	logs: Logs,
	shared: SharedOptions & { producerIds: ProducerIds },
): Promise<WebSocketServer> {
	const { config } = live;
	const traffic = new TopicTraffic(shared.catalogue);
	const asks = usesSasl(config.websocketSecurityProtocol);
	const tickets = asks ? security.tickets : null;
	const checks = security.authentication();
	const services = {
		...shared,
		log: logs.of("websocket"),
		traffic,
		tickets,
		describeCluster: () => describeCluster(parts),
		listClients: () => listClients(parts),
	};
	const authentication = new HttpAuthentication(checks, !asks);
	const metrics = metricsRoute(() => metricSources(live, parts));
	const guard = new HttpAuthentication(checks, false);
	return WebSocketServer.start({
		...services,
		...config.websocket,
		transport: config.websocketTransport,
		tls: usesTls(config.websocketSecurityProtocol) ? security.tls : null,
		allowedOrigins: config.allowedOrigins,
		knownHosts: config.advertise === null ? [] : [config.advertise.host],
		asksWho: asks,
		tokenCookie: config.websocketTokenCookie,
		broker: `millrace/${VERSION}`,
		authenticate: asks ? authenticateWith(checks) : authenticateAnybody,
		http: router([
			...healthRoutes(() => parts.isReady),
			config.metricsAuthenticationEnable
				? guardedRoute(metrics, guard, shared.authorizer)
				: metrics,
			...apiRoutes(services, authentication),
		]),
	});
}

function listClients({ server, kafka }: BrokerParts): WatchedClient[] {
	return [...(server?.clients() ?? []), ...(kafka?.clients() ?? [])];
}

function metricSources(live: LiveConfig, parts: BrokerParts): MetricSources | null {
	const { storage, catalogue, groups, connections, quotas, kafka, security, audit } = parts;
	const { server: websocket, isReady } = parts;
	const isWhole = catalogue && groups && connections && quotas && websocket && kafka && isReady;
	if (!isWhole || security === undefined) return null;
	const listeners = { connections, websocket, kafka };
	return { live, storage, catalogue, groups, quotas, security, audit, ...listeners };
}

function startKafka(
	config: BrokerConfig,
	security: Security,
	logs: Logs,
	shared: SharedOptions,
): Promise<KafkaServer> {
	const { kafka: address, kafkaSecurityProtocol: protocol } = config;
	const { failures } = security;
	const reauthMsMax = config.connectionsMaxReauthMs;
	const { clock } = shared;
	const asked = { mechanisms: security.mechanisms(), reauthMsMax, failures, clock };
	return KafkaServer.start({
		...shared,
		log: logs.of("kafka"),
		logs,
		address,
		brokerId: BROKER_ID,
		config,
		tls: usesTls(protocol) ? security.tls : null,
		sasl: usesSasl(protocol) ? asked : null,
	});
}

/** Where the listeners that have been started can be reached. */
function addressesOf({ server, kafka }: BrokerParts): BrokerAddresses {
	const websocket = server?.address ?? { host: "", port: 0, isSecure: false };
	return reachableAddresses(websocket, kafka?.address ?? null, websocket.isSecure);
}

function describeCluster(parts: BrokerParts): CallAnswer<"cluster.describe"> {
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
async function stopParts(parts: BrokerParts): Promise<void> {
	parts.isReady = false;
	parts.watch?.stop();
	parts.security?.close();
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
	await attempt(() => parts.audit?.close());
	await attempt(() => parts.catalogue?.close());
	// Before the lock goes: afterwards the file may be that of the next broker.
	const { dataDir } = parts;
	if (dataDir !== null) await attempt(() => removeAddresses(dataDir));
	await attempt(() => parts.storage.close());
	if (failures.length > 0) throw failures[0];
}
