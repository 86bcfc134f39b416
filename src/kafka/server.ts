/** The Kafka side of the broker: a listener on node:net, its connections, and what they share. */
import { createServer, type Server, type Socket } from "node:net";
import { promisify } from "node:util";

import type { AuditLog } from "../audit/audit-log.ts";
import type { Clock } from "../clock.ts";
import type { Address } from "../config/address.ts";
import type { BrokerConfig } from "../config/options.ts";
import type { OverrideStore } from "../config/override-store.ts";
import type { ConnectionLimit } from "../connection-limit.ts";
import type { GroupCoordinator } from "../groups/coordinator.ts";
import { LIMITS } from "../limits.ts";
import type { MetadataWriter } from "../metadata/metadata-writer.ts";
import { countSlow, LOOK_MS, type WatchedClient } from "../monitoring/client-watch.ts";
import { RequestFigures } from "../monitoring/request-figures.ts";
import { TopicTraffic } from "../monitoring/topic-traffic.ts";
import type { ClientQuotas } from "../quotas/client-quotas.ts";
import type { AclAuthorizer, Authorizer } from "../security/authorizer.ts";
import type { TlsFiles } from "../security/tls.ts";
import type { Users } from "../security/users.ts";
import type { Storage } from "../storage/storage.ts";
import type { TopicCatalogue } from "../topics/catalogue.ts";
import { KafkaConnection } from "./connection.ts";
import { FetchSessions } from "./fetch-sessions.ts";
import { FrameBlocks } from "./frames.ts";
import { SERVED_APIS } from "./handlers/table.ts";
import type { KafkaHost, KafkaLog, LogLevels } from "./host.ts";
import type { SaslListener } from "./sasl-session.ts";
import { READ_BYTES, readInto } from "./socket.ts";
import type { TlsSockets } from "./tls-sockets.ts";
import { KafkaWriter } from "./wire/writer.ts";

export interface KafkaServerOptions {
	/** Where to listen; port 0 picks a free one. */
	readonly address: Address;
	readonly brokerId: number;
	readonly config: BrokerConfig;
	/** What is set of the configuration while the broker runs. */
	readonly overrides: OverrideStore;
	/** Connections are encrypted with these; null: they are not. */
	readonly tls: TlsFiles | null;
	readonly storage: Storage;
	readonly metadata: MetadataWriter;
	readonly catalogue: TopicCatalogue;
	readonly groups: GroupCoordinator;
	/** Whom connections ask what their clients may do. */
	readonly authorizer: Authorizer;
	/** The access rules; null: authorization is off. */
	readonly acls: AclAuthorizer | null;
	/** Null: nobody keeps who changed what. */
	readonly audit: AuditLog | null;
	readonly users: Users;
	/** What clients may do a second, over all protocols. */
	readonly quotas: ClientQuotas;
	/** How clients say who they are; null: they are not asked. */
	readonly sasl: SaslListener | null;
	readonly nextProducerId: () => Promise<number>;
	/** Counts connections, those of other listeners too. */
	readonly connections: ConnectionLimit;
	readonly clock: Clock;
	readonly log: KafkaLog;
	/** The loggers whose levels clients see and set. */
	readonly logs: LogLevels;
}

/**
 * Silence after which the system looks whether a client is still there, in milliseconds; by itself
 * it would after two hours. Node has it look ten times then, a second apart. Who waits for an
 * answer is not idle, and may have vanished all the same.
 */
const KEEP_ALIVE_MS = 60_000;

/** How often idle connections are looked at, in milliseconds. */
const SWEEP_MS = 500;
/** Sweeps until a client is looked at again. */
const LOOK_SWEEPS = LOOK_MS / SWEEP_MS;
/** How long a stop waits for produce requests to be answered, in milliseconds. */
const LEAVE_MS_MAX = 2_000;
const LEAVE_POLL_MS = 10;

export class KafkaServer {
	/** Requests and errors, by API key. */
	readonly requests = new RequestFigures();
	/** Records, by topic. */
	readonly traffic: TopicTraffic;
	readonly #host: KafkaHost;
	readonly #server: Server;
	#tls: TlsSockets | null = null;
	readonly #limit: ConnectionLimit;
	readonly #connections = new Set<KafkaConnection>();
	/** What sockets read, one after the other. */
	readonly #readMemory = Buffer.allocUnsafeSlow(READ_BYTES);
	readonly #sweep: NodeJS.Timeout;
	#heldBytes = 0;
	#sweepCount = 0;

	private constructor(options: KafkaServerOptions) {
		const { brokerId, config, overrides, storage, metadata, catalogue, groups } = options;
		const { users, quotas, sasl } = options;
		const { authorizer, acls, audit, nextProducerId, clock, log, logs } = options;
		this.traffic = new TopicTraffic(catalogue);
		this.#host = {
			brokerId,
			advertise: config.advertise,
			config,
			overrides,
			storage,
			metadata,
			catalogue,
			groups,
			users,
			quotas,
			sasl,
			fetchSessions: new FetchSessions(clock),
			authorizer,
			acls,
			audit,
			nextProducerId,
			clock,
			log,
			logs,
			apis: SERVED_APIS,
			frameBytesMax: LIMITS.kafkaFrameBytesMax,
			heldBytesChanged: (change) => this.#boundHeldBytes(change),
			blocks: new FrameBlocks(),
			requests: this.requests,
			traffic: this.traffic,
			writer: new KafkaWriter(),
		};
		this.#limit = options.connections;
		// Half-open: a client that has sent its last request still reads the answers.
		const keptAlive = { keepAlive: true, keepAliveInitialDelay: KEEP_ALIVE_MS };
		const sockets = { noDelay: true, allowHalfOpen: true, ...keptAlive };
		const pauseOnConnect = options.tls === null;
		this.#server = createServer({ ...sockets, pauseOnConnect }, (socket) => this.#accept(socket));
		this.#sweep = setInterval(() => this.#sweepConnections(), SWEEP_MS);
		this.#sweep.unref();
	}

	/** Listens and serves. Rejects when the address cannot be had. */
	static async start(options: KafkaServerOptions): Promise<KafkaServer> {
		const server = new KafkaServer(options);
		try {
			if (options.tls !== null) await server.#secure(options.tls);
			await server.#listen(options.address);
		} catch (error) {
			clearInterval(server.#sweep);
			throw error;
		}
		server.#server.on("error", (error) => options.log.error({ err: error }, "listener failed"));
		return server;
	}

	/** Where it listens. */
	get address(): Address {
		const address = this.#server.address();
		if (address === null || typeof address === "string") throw new Error("it does not listen");
		return { host: address.address, port: address.port };
	}

	/** Bytes of requests that all connections hold. */
	get heldBytes(): number {
		return this.#heldBytes;
	}

	/** Bytes of answers that sockets have not taken yet. */
	get bufferedBytes(): number {
		let bytes = 0;
		for (const connection of this.#connections) bytes += connection.bufferedBytes;
		return bytes;
	}

	/** Its clients, in the order in which they came. */
	clients(): WatchedClient[] {
		return [...this.#connections];
	}

	/** How many clients are slow, by reason. */
	get slow(): ReturnType<typeof countSlow> {
		return countSlow(this.#connections);
	}

	/** Open connections. */
	get connectionCount(): number {
		return this.#connections.size;
	}

	/** Drops the connections of clients that a function says yes to; returns how many. */
	dropConnections(isMeant: (clientId: string) => boolean): number {
		const dropped = [...this.#connections].filter(({ clientName }) => isMeant(clientName));
		for (const connection of dropped) connection.destroy();
		return dropped.length;
	}

	/**
	 * Takes no more connections or requests, answers the produce requests at work, and resolves when
	 * no socket is left; after at most some two seconds, whatever clients do.
	 */
	async close(): Promise<void> {
		const closed = promisify(this.#server.close.bind(this.#server))();
		for (const connection of this.#connections) connection.leave();
		const { clock } = this.#host;
		const deadlineMs = clock.monotonicMs() + LEAVE_MS_MAX;
		const isBusy = () => [...this.#connections].some((connection) => connection.isBusy);
		while (isBusy() && clock.monotonicMs() < deadlineMs) {
			await new Promise((resolve) => setTimeout(resolve, LEAVE_POLL_MS));
		}
		for (const connection of this.#connections) connection.destroy();
		this.#tls?.close();
		await closed;
		clearInterval(this.#sweep);
	}

	#listen({ host, port }: Address): Promise<void> {
		return new Promise((resolve, reject) => {
			this.#server.once("error", reject);
			this.#server.listen({ host, port }, () => {
				this.#server.off("error", reject);
				resolve();
			});
		});
	}

	#accept(accepted: Socket): void {
		// There are no words for it before a request. Kafka leaves such clients in the backlog, which
		// node:net cannot do without closing the listener.
		if (!this.#limit.hasRoom()) {
			accepted.destroy();
			return;
		}
		this.#limit.opened();
		if (this.#tls === null) {
			const socket = readInto(this.#readMemory, accepted, (chunk) => connection.received(chunk));
			socket.on("close", () => this.#limit.closed());
			const connection = this.#open(socket);
			socket.resume();
		} else {
			accepted.on("close", () => this.#limit.closed());
			this.#tls.accept(accepted);
		}
	}

	/** What TLS has taken apart comes in memory of its own. */
	async #secure(files: TlsFiles): Promise<void> {
		// Loaded only where it is used: a start is the quicker for it.
		const { TlsSockets } = await import("./tls-sockets.ts");
		this.#tls = new TlsSockets(
			files,
			(socket, principal) => {
				const connection = this.#open(socket);
				connection.identify(principal);
				socket.on("data", (chunk: Buffer) => connection.received(chunk));
			},
			(error, { remoteAddress }) => {
				this.#host.log.debug({ err: error, remoteAddress }, "a TLS handshake failed");
			},
		);
	}

	#open(socket: Socket): KafkaConnection {
		const id = this.#host.storage.nextConnection();
		const connection = new KafkaConnection(this.#host, socket, id, (closed) => {
			this.#connections.delete(closed);
		});
		this.#connections.add(connection);
		return connection;
	}

	#sweepConnections(): void {
		const nowMs = this.#host.clock.monotonicMs();
		const looks = this.#sweepCount++ % LOOK_SWEEPS;
		for (const connection of this.#connections) {
			if (connection.id % LOOK_SWEEPS === looks) connection.look(nowMs);
			const isIdle = connection.idleMs(nowMs) > this.#host.config.connectionsMaxIdleMs;
			if (isIdle || connection.unknownMs(nowMs) > LIMITS.saslMsMax) connection.destroy();
		}
	}

	/**
	 * Half-sent requests are what clients can make a broker hold. Where all hold too much together,
	 * the one that holds most goes: it is nobody who sends and waits for answers.
	 */
	#boundHeldBytes(change: number): void {
		this.#heldBytes += change;
		if (change <= 0 || this.#heldBytes <= LIMITS.kafkaHeldBytesMax) return;
		let largest: KafkaConnection | undefined;
		for (const connection of this.#connections) {
			if (largest === undefined || connection.heldBytes > largest.heldBytes) largest = connection;
		}
		largest?.destroy(
			"requests that were not sent whole hold too much memory: the largest is closed",
		);
	}
}
