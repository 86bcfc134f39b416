/**
 * The WebSocket side of the broker: a listener, its sessions, and what they share on this event
 * loop.
 */
import type { AuditLog } from "../audit/audit-log.ts";
import type { Clock } from "../clock.ts";
import type { OverrideStore } from "../config/override-store.ts";
import type { ConnectionLimit } from "../connection-limit.ts";
import type { GroupCoordinator } from "../groups/coordinator.ts";
import { type HttpHandler, tooManyConnections } from "../http/http.ts";
import { HttpService } from "../http/service.ts";
import { LIMITS } from "../limits.ts";
import { countSlow, LOOK_MS, type WatchedClient } from "../monitoring/client-watch.ts";
import { HttpFigures } from "../monitoring/http-figures.ts";
import { RequestFigures } from "../monitoring/request-figures.ts";
import type { TopicTraffic } from "../monitoring/topic-traffic.ts";
import type { ProducerIds } from "../producer-ids.ts";
import type { CallAnswer } from "../protocol/calls.ts";
import { CLOSE_CODES } from "../protocol/close-codes.ts";
import { FrameReader } from "../protocol/reader.ts";
import { FrameWriter } from "../protocol/writer.ts";
import type { ClientQuotas } from "../quotas/client-quotas.ts";
import type { AclAuthorizer, Authorizer } from "../security/authorizer.ts";
import type { Tickets } from "../security/tickets.ts";
import type { TlsFiles } from "../security/tls.ts";
import type { Users } from "../security/users.ts";
import type { Topic } from "../topics/catalogue.ts";
import { type LiveTopic, LiveTopics, type SessionCatalogue } from "../topics/live-topics.ts";
import { Deliveries } from "./deliveries.ts";
import { listen } from "./listener.ts";
import { originPolicy } from "./origin.ts";
import { Session } from "./session.ts";
import type { Authenticate, SessionHost, SessionLog, SessionStorage } from "./session-host.ts";
import { TokenCookie } from "./token-cookie.ts";
import type { Listener } from "./transport.ts";

export interface WebSocketServerOptions {
	readonly host: string;
	/** 0 picks a free one. */
	readonly port: number;
	/** Null: nothing is encrypted. */
	readonly tls: TlsFiles | null;
	readonly transport: "auto" | "uws" | "ws";
	readonly allowedOrigins: readonly string[];
	/** Hosts by which clients reach it, beside the one that it listens at. */
	readonly knownHosts: readonly string[];
	/** Whether whoever asks over HTTP has to say who they are. */
	readonly asksWho: boolean;
	/** The cookie whose value is a token, from pages of allowed origins; "": none. */
	readonly tokenCookie: string;
	/** Name and version, such as "millrace/0.1.0". */
	readonly broker: string;
	readonly storage: SessionStorage;
	readonly catalogue: SessionCatalogue;
	readonly groups: GroupCoordinator;
	readonly producerIds: ProducerIds;
	readonly describeCluster: () => CallAnswer<"cluster.describe">;
	/** The clients of all listeners. */
	readonly listClients: () => WatchedClient[];
	readonly authenticate: Authenticate;
	readonly authorizer: Authorizer;
	readonly acls: AclAuthorizer | null;
	/** Null: nobody keeps who changed what. */
	readonly audit: AuditLog | null;
	readonly quotas: ClientQuotas;
	readonly users: Users;
	readonly overrides: OverrideStore;
	readonly tickets: Tickets | null;
	/** Counts connections, those of other listeners too. */
	readonly connections: ConnectionLimit;
	readonly http: HttpHandler;
	/** Counts records, by topic. */
	readonly traffic: TopicTraffic;
	readonly clock: Clock;
	readonly log: SessionLog;
}

/** How often deadlines and backed-up sockets are looked at, in milliseconds. */
const SWEEP_MS = 500;
/** Sweeps until a client is looked at again. */
const LOOK_SWEEPS = LOOK_MS / SWEEP_MS;

/**
 * How long a stop waits for requests to be answered and answers to be taken, and then for closing
 * handshakes, in milliseconds.
 */
const LEAVE_MS_MAX = 2_000;
const LEAVE_POLL_MS = 10;

/** When clients that are told to leave may come back, in milliseconds. */
const RECONNECT_AFTER_MS = 1_000;

export class WebSocketServer {
	/** Requests and errors, by operation. */
	readonly requests = new RequestFigures();
	/** Requests over HTTP, by route. */
	readonly httpRequests = new HttpFigures();
	/** Records, by topic; those over HTTP, too. */
	readonly traffic: TopicTraffic;
	readonly #sessions = new Set<Session>();
	readonly #host: SessionHost;
	readonly #sweep: NodeJS.Timeout;
	#sweepCount = 0;
	/** Connections of the listener, WebSocket or not. */
	#openCount = 0;
	#service: HttpService | undefined;
	#listener: Listener | undefined;

	private constructor(options: WebSocketServerOptions) {
		const {
			broker,
			storage,
			catalogue,
			groups,
			clock,
			log,
			authenticate,
			authorizer,
			acls,
			audit,
			tickets,
			describeCluster,
		} = options;
		this.traffic = options.traffic;
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
			authorizer,
			acls,
			audit,
			quotas: options.quotas,
			users: options.users,
			overrides: options.overrides,
			tickets,
			producerIds: options.producerIds,
			describeCluster,
			listClients: options.listClients,
			requests: this.requests,
			traffic: this.traffic,
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
		const { allowedOrigins, asksWho, connections, tokenCookie } = options;
		// One for all of them: each would be a closure.
		const left = (session: Session): void => void server.#sessions.delete(session);
		const hosts = [options.host, ...options.knownHosts];
		const origins = originPolicy(hosts, allowedOrigins, asksWho);
		const onError = (error: unknown, doing: string): void =>
			options.log.error({ err: error, doing }, "listener failed");
		const { httpRequests } = server;
		server.#service = new HttpService({ http: options.http, origins, httpRequests, onError });
		try {
			server.#listener = await listen(options.transport, {
				host: options.host,
				port: options.port,
				tls: options.tls,
				origins,
				tokenCookie: tokenCookie === "" ? null : new TokenCookie(tokenCookie, allowedOrigins),
				service: server.#service,
				opened: () => {
					if (!connections.hasRoomForHttp()) return false;
					connections.opened();
					server.#openCount++;
					return true;
				},
				closed: () => {
					connections.closed();
					server.#openCount--;
				},
				refuse: () =>
					connections.hasRoomForUpgrade() ? undefined : tooManyConnections(connections.count - 1),
				accept: (connection) => {
					const session = new Session(server.#host, connection, left);
					server.#sessions.add(session);
					return session;
				},
				onError,
			});
		} catch (error) {
			server.#release();
			throw error;
		}
		return server;
	}

	/** Where it listens, and with which library. */
	get address(): { host: string; port: number; transport: "uws" | "ws"; isSecure: boolean } {
		const { host, port, transport, isSecure } = this.#listening;
		return { host, port, transport, isSecure };
	}

	/** Open WebSocket connections. */
	get connectionCount(): number {
		return this.#sessions.size;
	}

	/** Open connections that are no WebSockets, or not yet. */
	get httpConnectionCount(): number {
		return Math.max(this.#openCount - this.#sessions.size, 0);
	}

	/** Its clients, in the order in which they came. */
	clients(): WatchedClient[] {
		return [...this.#sessions];
	}

	/** How many clients are slow, by reason. */
	get slow(): ReturnType<typeof countSlow> {
		return countSlow(this.#sessions);
	}

	/** What all connections together hold now. */
	get figures(): { bufferedBytes: number; subscriptions: number; backedUp: number } {
		let bufferedBytes = 0;
		let subscriptions = 0;
		for (const session of this.#sessions) {
			bufferedBytes += session.bufferedBytes;
			subscriptions += session.subscriptionCount;
		}
		return { bufferedBytes, subscriptions, backedUp: this.#host.deliveries.backedUpCount };
	}

	/** Drops the connections of clients that a function says yes to; returns how many. */
	dropConnections(isMeant: (clientName: string) => boolean): number {
		const dropped = [...this.#sessions].filter(({ clientName }) => isMeant(clientName));
		for (const session of dropped) session.drop();
		return dropped.length;
	}

	/**
	 * Takes no more connections and no more requests over HTTP, tells clients to leave, answers what
	 * is outstanding, lets clients take what waits for them, closes with 1001, and resolves when no
	 * socket is left; after at most some four seconds, whatever clients do.
	 */
	async close(): Promise<void> {
		this.#listening.stopListening();
		this.#service?.stop();
		for (const session of this.#sessions) session.leave(RECONNECT_AFTER_MS);
		const deadlineMs = this.#host.clock.monotonicMs() + LEAVE_MS_MAX;
		await this.#until(
			() =>
				this.#service?.underWayCount === 0 &&
				![...this.#sessions].some((session) => session.isBusy),
			deadlineMs,
		);
		await this.#untilTaken(deadlineMs);
		for (const session of [...this.#sessions]) session.close(CLOSE_CODES.GOING_AWAY);
		const closedMs = this.#host.clock.monotonicMs() + LEAVE_MS_MAX;
		await this.#until(() => this.#sessions.size === 0, closedMs);
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

	/**
	 * Waits until clients have read what they were sent: what the kernel still holds of it when a
	 * connection is closed is lost where the client sends anything more, such as credit.
	 */
	async #untilTaken(deadlineMs: number): Promise<void> {
		let left = this.#sessions.size;
		for (const session of this.#sessions) void session.taken().then(() => left--);
		await this.#until(() => left === 0, deadlineMs);
	}

	async #until(isDone: () => boolean, deadlineMs: number): Promise<void> {
		const { clock } = this.#host;
		while (!isDone() && clock.monotonicMs() < deadlineMs) {
			await new Promise((resolve) => setTimeout(resolve, LEAVE_POLL_MS));
		}
	}

	#sweepSessions(): void {
		const looks = this.#sweepCount++ % LOOK_SWEEPS;
		for (const session of [...this.#sessions]) {
			session.sweep();
			if (session.id % LOOK_SWEEPS === looks) session.look();
		}
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
