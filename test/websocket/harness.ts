import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import { afterAll, beforeAll, beforeEach } from "vitest";
import { systemClock } from "../../src/clock.ts";
import { LiveConfig } from "../../src/config/live.ts";
import { resolveConfig } from "../../src/config/load.ts";
import { OverrideStore } from "../../src/config/override-store.ts";
import { ConnectionLimit } from "../../src/connection-limit.ts";
import { GroupCoordinator } from "../../src/groups/coordinator.ts";
import { GroupConfigs } from "../../src/groups/group-configs.ts";
import { healthRoutes, router } from "../../src/http/router.ts";
import { LIMITS } from "../../src/limits.ts";
import { EmbeddedMetadataStore } from "../../src/metadata/embedded-store.ts";
import { MetadataWriter, type OpenedMetadata } from "../../src/metadata/metadata-writer.ts";
import { TopicTraffic } from "../../src/monitoring/topic-traffic.ts";
import { ProducerIds } from "../../src/producer-ids.ts";
import { ClientQuotas } from "../../src/quotas/client-quotas.ts";
import { QuotaStore } from "../../src/quotas/quota-store.ts";
import { NO_AUTHORIZATION } from "../../src/security/authorizer.ts";
import { Tickets } from "../../src/security/tickets.ts";
import { Users } from "../../src/security/users.ts";
import { Storage } from "../../src/storage/storage.ts";
import { TopicCatalogue } from "../../src/topics/catalogue.ts";

import { WebSocketServer, type WebSocketServerOptions } from "../../src/websocket/server.ts";
import { authenticateAnybody } from "../../src/websocket/session-host.ts";
import { RawClient } from "./raw-client.ts";

/** The transports that every protocol test runs over. */
export const TRANSPORTS = ["uws", "ws"] as const;

/** Why uWebSockets.js cannot run here; null where it can. */
const missingUws = await import("uWebSockets.js").then(
	() => null,
	() => `uWebSockets.js has no binary for Node ${process.versions.node} on this machine`,
);

/** Why a transport does not load; null where it does. */
const missing = (transport: "uws" | "ws") => (transport === "uws" ? missingUws : null);

/** Skips the tests of the enclosing `describe` where the transport does not load. */
export function requireTransport(transport: "uws" | "ws"): void {
	beforeEach((context) => {
		const reason = missing(transport);
		if (reason !== null) context.skip(reason);
	});
}

/** Runs before the tests of the enclosing `describe`, unless they are all skipped. */
export function beforeAllOver(transport: "uws" | "ws", work: () => Promise<void>): void {
	if (missing(transport) === null) beforeAll(work);
}

/** A server with a catalogue and storage of its own, and the clients that a test opened. */
export interface Harness {
	server: WebSocketServer;
	/** What it was started with. */
	options: WebSocketServerOptions;
	catalogue: TopicCatalogue;
	storage: Storage;
	/** What was logged as an error: nothing, in a good run. */
	errors: unknown[];
	url: string;
	http: string;
	/** A client that has not said hello. */
	open(): Promise<RawClient>;
	/** A client that has said hello. */
	client(): Promise<RawClient>;
	/** A topic of its own, with this many partitions; answers its name. */
	topic(partitions?: number): Promise<string>;
}

type Overrides = Partial<WebSocketServerOptions>;
type OverridesOf = (
	storage: Storage,
	usual: WebSocketServerOptions,
	opened: OpenedMetadata,
) => Overrides;

/**
 * Starts a server before the tests of the enclosing `describe` and stops it behind them. With
 * `memory` it stores nothing on disk: for many topics, where disks are not the subject.
 */
export function serve(
	transport: "uws" | "ws",
	overrides: Overrides | OverridesOf = {},
	{ memory = false }: { readonly memory?: boolean } = {},
): Harness {
	const clients: RawClient[] = [];
	let topicCount = 0;
	let dataDirectory = "";
	const harness: Partial<Harness> = {
		errors: [],
		async open() {
			const client = await RawClient.open(harness.url as string);
			clients.push(client);
			return client;
		},
		async client() {
			const client = await RawClient.greeted(harness.url as string);
			clients.push(client);
			return client;
		},
		async topic(partitions = 1) {
			const name = `topic-${topicCount++}`;
			await harness.catalogue?.create({ name, partitions });
			return name;
		},
	};
	requireTransport(transport);
	beforeAll(async () => {
		if (transport === "uws" && missingUws !== null) return;
		dataDirectory = await mkdtemp(join(tmpdir(), "millrace-websocket-"));
		const storage = await Storage.open({ dataDir: dataDirectory, memory });
		const opened = await MetadataWriter.open(new EmbeddedMetadataStore(storage));
		const catalogue = await TopicCatalogue.open(storage, opened, {
			partitionsDefault: 1,
			createsAutomatically: true,
			onDeletionFailed: (_, error) => harness.errors?.push(error),
		});
		const usual = {
			...serverOptions(transport, storage, catalogue, harness.errors ?? []),
			groups: startGroups(storage, opened, catalogue),
			users: Users.open(opened),
			overrides: await OverrideStore.open(
				opened,
				new LiveConfig(resolveConfig({})),
				pino({ level: "silent" }),
			),
			quotas: new ClientQuotas(QuotaStore.open(opened), systemClock, { samples: 2, sampleMs: 200 }),
		};
		const own = typeof overrides === "function" ? overrides(storage, usual, opened) : overrides;
		const options = { ...usual, ...own };
		const server = await WebSocketServer.start(options);
		const { port } = server.address;
		Object.assign(harness, { storage, catalogue, options, server });
		harness.url = `ws://127.0.0.1:${port}`;
		harness.http = `http://127.0.0.1:${port}`;
	});
	afterAll(async () => {
		for (const client of clients) client.close();
		await harness.server?.close();
		await harness.catalogue?.close();
		await harness.storage?.close();
		if (dataDirectory !== "") await rm(dataDirectory, { recursive: true, force: true });
	});
	return harness as Harness;
}

function startGroups(
	storage: Storage,
	opened: OpenedMetadata,
	catalogue: TopicCatalogue,
): GroupCoordinator {
	const options = resolveConfig({}).config;
	const configs = GroupConfigs.open(opened, options);
	const clock = systemClock;
	return new GroupCoordinator({
		options,
		configs,
		storage,
		catalogue,
		clock,
		log: pino({ level: "silent" }),
	});
}

function serverOptions(
	transport: "uws" | "ws",
	storage: Storage,
	catalogue: TopicCatalogue,
	errors: unknown[],
): Omit<WebSocketServerOptions, "groups" | "overrides" | "quotas" | "users"> {
	const ignore = () => undefined;
	return {
		host: "127.0.0.1",
		port: 0,
		tls: null,
		transport,
		allowedOrigins: ["https://console.example.com"],
		knownHosts: ["broker.example"],
		asksWho: false,
		tokenCookie: "",
		broker: "millrace/test",
		storage,
		catalogue,
		producerIds: new ProducerIds(storage),
		connections: new ConnectionLimit(LIMITS.connectionsDefault, systemClock, { warn: ignore }),
		describeCluster: () => ({
			cluster_id: storage.clusterId,
			controller_id: 0,
			brokers: [{ id: 0, version: "test", websocket: null, kafka: null }],
		}),
		listClients: () => [],
		authenticate: authenticateAnybody,
		authorizer: NO_AUTHORIZATION,
		acls: null,
		audit: null,
		tickets: new Tickets(systemClock),
		http: router(healthRoutes(() => true)),
		traffic: new TopicTraffic(catalogue),
		clock: systemClock,
		log: {
			trace: ignore,
			debug: ignore,
			warn: ignore,
			error: (details) => errors.push(details),
		},
	};
}
