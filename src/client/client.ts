import { MillraceError } from "../protocol/error.ts";
import {
	Acls,
	Clients,
	Configs,
	call,
	Groups,
	Offsets,
	Quotas,
	type RequestOptions,
	Topics,
	Users,
} from "./admin.ts";
import { callProgram } from "./call-program.ts";
import { abortReason, withSignal } from "./connection/abort.ts";
import type { Auth } from "./connection/credentials.ts";
import { Link, type LinkOptions, type LinkState } from "./connection/link.ts";
import type { OpenSocket, TlsOptions } from "./connection/socket.ts";
import { Consumer, type ConsumerContext } from "./consumer/consumer.ts";
import type { ConsumerOptions } from "./consumer/consumer-options.ts";
import { GroupConsumer } from "./consumer/group-consumer.ts";
import type { GroupConsumerOptions } from "./consumer/group-options.ts";
import { Producer, type ProducerOptions } from "./producer/producer.ts";
import { Sender } from "./producer/sender.ts";
import { TopicDirectory } from "./topic-directory.ts";

export interface ConnectOptions {
	/** Who we are; a function is called for every connection, and before what it gave runs out. */
	auth?: Auth | (() => Auth | Promise<Auth>);
	/** Short for `auth` with a token. */
	token?: string | (() => string | Promise<string>);
	/** For `wss:` addresses on Node: certificates that are not found in the usual place. */
	tls?: TlsOptions;
	/** Aborting gives up connecting, and later ends the client at once: what is not settled fails. */
	signal?: AbortSignal;
	/** How long one attempt to connect may take, in milliseconds. Default 10,000. */
	connectTimeoutMs?: number;
	/** First and longest wait before connecting again, in milliseconds. Defaults 50 and 5,000. */
	reconnectMsFirst?: number;
	reconnectMsMax?: number;
	/** Name and version of the program, for the broker's log. Default "millrace-client". */
	clientName?: string;
	/**
	 * Told when the broker has the client wait because of a quota. The client waits by itself; what
	 * it does not send meanwhile is buffered, up to `bufferBytesMax`.
	 */
	onThrottled?: (throttle: Throttle) => void;
	/**
	 * Masking of what is sent, on Node: "auto" (default) masks with zeroes over loopback and TLS,
	 * where no intermediary can be confused, and randomly elsewhere. Random masking costs up to a
	 * third of the produce rate, and most of it without the optional package `bufferutil`.
	 */
	mask?: "auto" | "zero" | "random";
}

/** A wait that a quota brings about. */
export interface Throttle {
	/** The quota by its name, such as "producer_byte_rate". */
	readonly quota: string;
	readonly throttleMs: number;
}

/** What lets one client in, once. */
export interface Ticket {
	ticket: string;
	/** In milliseconds since 1970. */
	expiresMs: number;
}

/**
 * A client of one broker: one connection for all its producers and consumers, made again whenever
 * it is lost.
 */
export class Client {
	readonly topics: Topics;
	readonly offsets: Offsets;
	readonly groups: Groups;
	readonly acls: Acls;
	readonly quotas: Quotas;
	readonly users: Users;
	readonly configs: Configs;
	readonly clients: Clients;
	readonly #link: Link;
	readonly #directory: TopicDirectory;
	readonly #sender: Sender;
	readonly #producers = new Set<{ close(): Promise<void> }>();
	readonly #consumers = new Set<{ close(): Promise<void> }>();
	#nextSubscription = 0;
	#throttledUntilMs = 0;

	/** @internal */
	constructor(link: Link, onThrottled: (throttle: Throttle) => void = () => undefined) {
		this.#link = link;
		this.#directory = new TopicDirectory(link);
		this.#sender = new Sender(link, this.#directory);
		this.topics = new Topics(link);
		this.offsets = new Offsets(link);
		this.groups = new Groups(link);
		this.acls = new Acls(link);
		this.clients = new Clients(link);
		this.quotas = new Quotas(link);
		this.users = new Users(link);
		this.configs = new Configs(link);
		link.add({
			notice: (kind, { throttle_ms: ms, quota }) => {
				if (kind !== "throttled" || typeof ms !== "number" || typeof quota !== "string") return;
				this.#throttledUntilMs = Math.max(this.#throttledUntilMs, performance.now() + ms);
				callProgram(onThrottled, { quota, throttleMs: ms });
			},
			detached: () => {
				this.#throttledUntilMs = 0;
			},
		});
	}

	/** Whether there is a connection at the moment. */
	get state(): LinkState {
		return this.#link.state;
	}

	/** How long the broker has the client wait yet because of a quota, in milliseconds; 0: not. */
	get throttledMs(): number {
		return Math.max(0, Math.ceil(this.#throttledUntilMs - performance.now()));
	}

	/** The cluster that answers: its offsets mean nothing in another one. */
	get clusterId(): string {
		return this.#link.hello.cluster_id;
	}

	/** Name and version of the broker. */
	get broker(): string {
		return this.#link.hello.broker;
	}

	/**
	 * Throws INVALID_ARGUMENT, and UNSUPPORTED_OPERATION where the broker does not know
	 * `compression`; connects nothing, and returns at once.
	 */
	producer<Value = unknown>(options: ProducerOptions<Value> = {}): Producer<Value> {
		this.#refuseIfClosed();
		const producer = new Producer<Value>(
			this.#link,
			this.#sender,
			this.#directory,
			options,
			(closed) => this.#producers.delete(closed),
		);
		this.#producers.add(producer);
		return producer;
	}

	/**
	 * A member of a consumer group, which shares topics with the others. Throws INVALID_ARGUMENT;
	 * joins when it is iterated over, or at `ready()`.
	 */
	consumer<Value = unknown>(options: GroupConsumerOptions<Value>): GroupConsumer<Value>;
	/** Throws INVALID_ARGUMENT; subscribes when it is iterated over, or at `ready()`. */
	consumer<Value = unknown>(options: ConsumerOptions<Value>): Consumer<Value>;
	consumer<Value>(options: ConsumerOptions<Value> | GroupConsumerOptions<Value>): Consumer<Value> {
		this.#refuseIfClosed();
		const context: ConsumerContext = {
			link: this.#link,
			directory: this.#directory,
			takeNumber: () => {
				this.#nextSubscription = (this.#nextSubscription + 1) % 4_294_967_296;
				return this.#nextSubscription;
			},
			forget: (closed) => this.#consumers.delete(closed),
		};
		const consumer =
			"group" in options
				? new GroupConsumer<Value>(context, options)
				: new Consumer<Value>(context, options);
		this.#consumers.add(consumer);
		return consumer;
	}

	/**
	 * Ends consumers, flushes producers, closes the connection. Rejects with what `flush()` of a
	 * producer rejects with, when all is closed; aborting the signal closes without waiting for the
	 * flush.
	 */
	async close(options: { signal?: AbortSignal } = {}): Promise<void> {
		const closing = [...this.#consumers, ...this.#producers].map((each) => each.close());
		try {
			const results = await withSignal(Promise.allSettled(closing), options.signal);
			for (const result of results) if (result.status === "rejected") throw result.reason;
		} finally {
			await this.#link.close(new MillraceError("CLOSED", "the client"));
		}
	}

	/** `await using client = await connect(url)` closes it at the end of the block. */
	[Symbol.asyncDispose](): Promise<void> {
		return this.close();
	}

	/** @internal Ends at once: what is not settled fails with `cause` behind it. */
	destroy(cause: unknown): void {
		void this.#link.close(new MillraceError("CLOSED", "the client", { cause }));
	}

	/**
	 * A ticket for somebody else, such as a page: it lets one client in as who we are, once, within
	 * half a minute. Rejects with INVALID_REQUEST where the broker asks nobody who they are.
	 */
	async createTicket(options: RequestOptions = {}): Promise<Ticket> {
		const answer = await call(this.#link, "tickets.create", {}, options);
		return { ticket: answer.ticket, expiresMs: answer.expires_ms };
	}

	#refuseIfClosed(): void {
		if (this.#link.closedError !== undefined) throw this.#link.closedError;
	}
}

/** What `connect` of both environments does, with their kind of socket. */
export async function connectWith(
	openSocket: OpenSocket,
	url: string,
	options: ConnectOptions,
): Promise<Client> {
	const { signal } = options;
	if (signal?.aborted) throw abortReason(signal);
	const link = new Link(webSocketUrl(url), openSocket, {
		auth: authOf(options),
		clientName: options.clientName ?? "millrace-client",
		reconnectMsFirst: options.reconnectMsFirst ?? 50,
		reconnectMsMax: options.reconnectMsMax ?? 5_000,
		connectTimeoutMs: options.connectTimeoutMs ?? 10_000,
		mask: options.mask ?? "auto",
		tls: options.tls,
	});
	const client = new Client(link, options.onThrottled);
	const aborted = (): void => client.destroy(signal && abortReason(signal));
	signal?.addEventListener("abort", aborted, { once: true });
	link.add({ failed: () => signal?.removeEventListener("abort", aborted) });
	try {
		await withSignal(link.start(), signal);
	} catch (error) {
		client.destroy(error);
		throw error;
	}
	return client;
}

/** Throws INVALID_ARGUMENT where a client would be two. */
function authOf({ auth, token }: ConnectOptions): LinkOptions["auth"] {
	if (token === undefined) return auth;
	if (auth !== undefined) throw new MillraceError("INVALID_ARGUMENT", "auth and token are one");
	return typeof token === "function" ? async () => ({ token: await token() }) : { token };
}

/** Throws INVALID_ARGUMENT for what is no WebSocket address. */
function webSocketUrl(url: string): string {
	const parsed = URL.canParse(url) ? new URL(url) : undefined;
	if (parsed?.protocol !== "ws:" && parsed?.protocol !== "wss:") {
		throw new MillraceError("INVALID_ARGUMENT", `not a ws:// or wss:// address: ${url}`);
	}
	return parsed.href;
}
