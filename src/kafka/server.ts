/** The Kafka side of the broker: a listener on node:net, its connections, and what they share. */
import { createServer, type Server, type Socket } from "node:net";
import { promisify } from "node:util";

import type { Clock } from "../clock.ts";
import type { Address, BrokerConfig } from "../config.ts";
import type { ConnectionLimit } from "../connection-limit.ts";
import type { GroupCoordinator } from "../groups/coordinator.ts";
import { LIMITS } from "../limits.ts";
import type { MetadataWriter } from "../metadata/metadata-writer.ts";
import type { Storage } from "../storage/storage.ts";
import type { TopicCatalogue } from "../topics/catalogue.ts";
import { KafkaConnection } from "./connection.ts";
import { FetchSessions } from "./fetch-sessions.ts";
import { FrameBlocks } from "./frames.ts";
import { SERVED_APIS } from "./handlers/table.ts";
import type { KafkaHost, KafkaLog } from "./host.ts";
import { READ_BYTES, readInto } from "./socket.ts";
import { KafkaWriter } from "./wire/writer.ts";

export interface KafkaServerOptions {
	/** Where to listen; port 0 picks a free one. */
	readonly address: Address;
	readonly brokerId: number;
	readonly config: BrokerConfig;
	readonly storage: Storage;
	readonly metadata: MetadataWriter;
	readonly catalogue: TopicCatalogue;
	readonly groups: GroupCoordinator;
	readonly nextProducerId: () => Promise<number>;
	/** Counts connections, those of other listeners too. */
	readonly connections: ConnectionLimit;
	readonly clock: Clock;
	readonly log: KafkaLog;
}

/** How often idle connections are looked at, in milliseconds. */
const SWEEP_MS = 500;
/** How long a stop waits for produce requests to be answered, in milliseconds. */
const LEAVE_MS_MAX = 2_000;
const LEAVE_POLL_MS = 10;

export class KafkaServer {
	readonly #host: KafkaHost;
	readonly #server: Server;
	readonly #limit: ConnectionLimit;
	readonly #connections = new Set<KafkaConnection>();
	/** What sockets read, one after the other. */
	readonly #readMemory = Buffer.allocUnsafeSlow(READ_BYTES);
	readonly #sweep: NodeJS.Timeout;
	#heldBytes = 0;

	private constructor(options: KafkaServerOptions) {
		const { brokerId, config, storage, metadata, catalogue, groups } = options;
		const { nextProducerId, clock, log } = options;
		this.#host = {
			brokerId,
			advertise: config.advertise,
			config,
			storage,
			metadata,
			catalogue,
			groups,
			fetchSessions: new FetchSessions(clock),
			nextProducerId,
			clock,
			log,
			apis: SERVED_APIS,
			frameBytesMax: LIMITS.kafkaFrameBytesMax,
			heldBytesChanged: (change) => this.#boundHeldBytes(change),
			blocks: new FrameBlocks(),
			writer: new KafkaWriter(),
		};
		this.#limit = options.connections;
		// Half-open: a client that has sent its last request still reads the answers.
		const sockets = { noDelay: true, keepAlive: true, allowHalfOpen: true, pauseOnConnect: true };
		this.#server = createServer(sockets, (socket) => this.#accept(socket));
		this.#sweep = setInterval(() => this.#sweepConnections(), SWEEP_MS);
		this.#sweep.unref();
	}

	/** Listens and serves. Rejects when the address cannot be had. */
	static async start(options: KafkaServerOptions): Promise<KafkaServer> {
		const server = new KafkaServer(options);
		try {
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

	/** Open connections. */
	get connectionCount(): number {
		return this.#connections.size;
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
		const closed = (connection: KafkaConnection) => {
			this.#connections.delete(connection);
			this.#limit.closed();
		};
		const id = this.#host.storage.nextConnection();
		const socket = readInto(this.#readMemory, accepted, (chunk) => connection.received(chunk));
		const connection = new KafkaConnection(this.#host, socket, id, closed);
		this.#connections.add(connection);
		this.#limit.opened();
		socket.resume();
	}

	#sweepConnections(): void {
		const nowMs = this.#host.clock.monotonicMs();
		for (const connection of this.#connections) {
			if (connection.idleMs(nowMs) > this.#host.config.connectionsMaxIdleMs) connection.destroy();
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
