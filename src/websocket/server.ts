/**
 * The WebSocket side of the broker: a listener, its sessions, and what they share on this event
 * loop.
 */
import type { Clock } from "../clock.ts";
import type { ConnectionLimit } from "../connection-limit.ts";
import type { GroupCoordinator } from "../groups/coordinator.ts";
import { LIMITS } from "../limits.ts";
import type { ProducerIds } from "../producer-ids.ts";
import type { CallAnswer } from "../protocol/calls.ts";
import { CLOSE_CODES } from "../protocol/close-codes.ts";
import { FrameReader } from "../protocol/reader.ts";
import { FrameWriter } from "../protocol/writer.ts";
import type { Topic } from "../topics/catalogue.ts";
import { Deliveries } from "./deliveries.ts";
import { type HttpHandler, tooManyConnections } from "./http.ts";
import { listen } from "./listener.ts";
import { type LiveTopic, LiveTopics, type SessionCatalogue } from "./live-topics.ts";
import { originPolicy } from "./origin.ts";
import { Session } from "./session.ts";
import type { Authenticate, SessionHost, SessionLog, SessionStorage } from "./session-host.ts";
import type { Listener } from "./transport.ts";

export interface WebSocketServerOptions {
	readonly host: string;
	/** 0 picks a free one. */
	readonly port: number;
	readonly transport: "auto" | "uws" | "ws";
	readonly allowedOrigins: readonly string[];
	/** Name and version, such as "millrace/0.1.0". */
	readonly broker: string;
	readonly storage: SessionStorage;
	readonly catalogue: SessionCatalogue;
	readonly groups: GroupCoordinator;
	readonly producerIds: ProducerIds;
	readonly describeCluster: () => CallAnswer<"cluster.describe">;
	readonly authenticate: Authenticate;
	/** Counts connections, those of other listeners too. */
	readonly connections: ConnectionLimit;
	readonly http: HttpHandler;
	readonly clock: Clock;
	readonly log: SessionLog;
}

/** How often deadlines and backed-up sockets are looked at, in milliseconds. */
const SWEEP_MS = 500;

/**
 * How long a stop waits for requests to be answered, and then for closing handshakes, in
 * milliseconds.
 */
const LEAVE_MS_MAX = 2_000;
const LEAVE_POLL_MS = 10;

/** When clients that are told to leave may come back, in milliseconds. */
const RECONNECT_AFTER_MS = 1_000;

export class WebSocketServer {
	readonly #sessions = new Set<Session>();
	readonly #host: SessionHost;
	readonly #sweep: NodeJS.Timeout;
	#listener: Listener | undefined;

	private constructor(options: WebSocketServerOptions) {
		const { broker, storage, catalogue, groups, clock, log, authenticate, describeCluster } =
			options;
		const topics = new LiveTopics(catalogue, (topic, before) => this.#topicChanged(topic, before));
		this.#host = {
			broker,
			storage,
			catalogue,
			groups,
			topics,
			deliveries: new Deliveries(),
			clock,
			log,
			authenticate,
			producerIds: options.producerIds,
			describeCluster,
			writer: new FrameWriter(LIMITS.deliveryBytesSmall),
			reader: new FrameReader(undefined, LIMITS.requestValuesMax),
		};
		this.#sweep = setInterval(() => this.#sweepSessions(), SWEEP_MS);
		this.#sweep.unref();
	}

	/**
	 * Listens and serves. Rejects when the address cannot be had or the transport asked for does not
	 * load.
	 */
	static async start(options: WebSocketServerOptions): Promise<WebSocketServer> {
		const server = new WebSocketServer(options);
		const { connections } = options;
		try {
			server.#listener = await listen(options.transport, {
				host: options.host,
				port: options.port,
				origins: originPolicy(options.host, options.allowedOrigins),
				http: options.http,
				refuse: () => (connections.hasRoom() ? undefined : tooManyConnections(connections.count)),
				accept: (connection) => {
					const session = new Session(server.#host, connection, (closed) => {
						server.#sessions.delete(closed);
						connections.closed();
					});
					server.#sessions.add(session);
					connections.opened();
					return session;
				},
				onError: (error, doing) => options.log.error({ err: error, doing }, "listener failed"),
			});
		} catch (error) {
			server.#release();
			throw error;
		}
		return server;
	}

	/** Where it listens, and with which library. */
	get address(): { host: string; port: number; transport: "uws" | "ws" } {
		const { host, port, transport } = this.#listening;
		return { host, port, transport };
	}

	/** Open connections. */
	get connectionCount(): number {
		return this.#sessions.size;
	}

	/**
	 * Takes no more connections, tells clients to leave, answers what is outstanding, closes with
	 * 1001, and resolves when no socket is left; after at most some four seconds, whatever clients
	 * do.
	 */
	async close(): Promise<void> {
		this.#listening.stopListening();
		for (const session of this.#sessions) session.leave(RECONNECT_AFTER_MS);
		await this.#until(() => ![...this.#sessions].some((session) => session.isBusy));
		for (const session of [...this.#sessions]) session.close(CLOSE_CODES.GOING_AWAY);
		await this.#until(() => this.#sessions.size === 0);
		await this.#listening.close();
		this.#release();
	}

	get #listening(): Listener {
		if (this.#listener === undefined) throw new Error("the server does not listen");
		return this.#listener;
	}

	#release(): void {
		clearInterval(this.#sweep);
		this.#host.topics.close();
	}

	async #until(isDone: () => boolean): Promise<void> {
		const { clock } = this.#host;
		const deadlineMs = clock.monotonicMs() + LEAVE_MS_MAX;
		while (!isDone() && clock.monotonicMs() < deadlineMs) {
			await new Promise((resolve) => setTimeout(resolve, LEAVE_POLL_MS));
		}
	}

	#sweepSessions(): void {
		for (const session of [...this.#sessions]) session.sweep();
		this.#host.deliveries.sweep();
	}

	#topicChanged(topic: LiveTopic, before: Topic): void {
		const { name, topicId, partitions } = topic.current;
		for (const session of [...this.#sessions]) {
			if (topic.isDeleted) session.topicDeleted(topic);
			else if (before.partitions !== partitions && session.uses(topic)) {
				session.notice("partitions_changed", { topic: name, topic_id: topicId, partitions });
			}
		}
	}
}
