import { MillraceError } from "../../protocol/error.ts";
import type { Credentials, HelloAnswer, ProducerIdentity } from "../../protocol/frames.ts";
import { OPERATION } from "../../protocol/operations.ts";
import type { DecodedMap, FrameReader } from "../../protocol/reader.ts";
import type { FrameValue } from "../../protocol/writer.ts";
import { abortReason, withSignal } from "./abort.ts";
import { Backoff } from "./backoff.ts";
import { Connection, type ProduceResult } from "./connection.ts";
import { type AuthSource, credentialsFrom, isRenewable } from "./credentials.ts";
import type { OpenSocket, SocketOptions } from "./socket.ts";

/** First and longest wait before a renewal is tried again, in milliseconds. */
const RENEWAL_RETRY_MS = { first: 500, most: 10_000 } as const;

/**
 * Whoever is known by a cookie is let in again when the site has renewed it, which may be a little
 * late: so long is it tried again, in milliseconds.
 */
const COOKIE_MS_MAX = 60_000;

/** A connection that lasts so long was a good one: the next wait is the shortest again, in ms. */
const STABLE_MS = 5_000;

export interface LinkOptions extends SocketOptions {
	auth: AuthSource;
	/** Name and version, for the broker's log. */
	clientName: string;
	reconnectMsFirst: number;
	reconnectMsMax: number;
	/** An attempt to connect that takes longer has failed, in milliseconds. */
	connectTimeoutMs: number;
}

/** Those who live on the link: told when a connection is ready and when it is gone. */
export interface LinkUser {
	/** A new connection is ready; nothing that was sent on an earlier one will be answered. */
	attached?(connection: Connection, hello: HelloAnswer): void;
	/** The connection is gone; another one is being made. */
	detached?(): void;
	/** No connection will come any more. */
	failed?(error: MillraceError): void;
	produced?(id: number, reached: number, results: ProduceResult[]): void;
	produceFailed?(id: number, error: MillraceError): void;
	delivered?(operation: number, subscription: number, frame: Uint8Array, reader: FrameReader): void;
	notice?(kind: string, details: DecodedMap): void;
}

export type LinkState = "connecting" | "ready" | "closed";

/**
 * Keeps one connection to the broker: makes it, makes it again with jittered waits when it is lost,
 * carries the producer identity from one to the next, renews credentials. Its users bring their own
 * state back.
 */
export class Link {
	readonly #url: string;
	readonly #openSocket: OpenSocket;
	readonly #options: LinkOptions;
	readonly #backoff: Backoff;
	readonly #users = new Set<LinkUser>();
	/** Those who wait for the next connection. */
	#waiters: { resolve(connection: Connection): void; reject(error: MillraceError): void }[] = [];
	#connection: Connection | undefined;
	#hello: HelloAnswer | undefined;
	#identity: ProducerIdentity | undefined;
	#state: LinkState = "connecting";
	#attachedMs = 0;
	#timer: ReturnType<typeof setTimeout> | undefined;
	#renewTimer: ReturnType<typeof setTimeout> | undefined;
	/** Until when a cookie that is refused may yet be renewed; undefined: it is no cookie. */
	#cookieUntilMs: number | undefined;
	/** The broker has refused what the client presented anew: it is not to be tried again. */
	#isRenewalRefused = false;
	/** Why no connection will come any more, once that is so. */
	closedError: MillraceError | undefined;
	/** Why the latest attempt failed; told to those who gave up waiting. */
	lastError: MillraceError | undefined;

	constructor(url: string, openSocket: OpenSocket, options: LinkOptions) {
		this.#url = url;
		this.#openSocket = openSocket;
		this.#options = options;
		this.#backoff = new Backoff(options.reconnectMsFirst, options.reconnectMsMax);
	}

	get state(): LinkState {
		return this.#state;
	}

	/** What the latest hello answered; there is one as soon as `start()` has resolved. */
	get hello(): HelloAnswer {
		if (this.#hello === undefined) throw new MillraceError("CONNECTION_LOST", "never connected");
		return this.#hello;
	}

	/** The connection, while it is ready. */
	get connection(): Connection | undefined {
		return this.#state === "ready" ? this.#connection : undefined;
	}

	/** Makes the first connection: one attempt, which rejects with why it failed. */
	async start(): Promise<void> {
		let connection: Connection;
		try {
			connection = this.#dial(false);
		} catch (cause) {
			// Such as a page under https that wants plain ws.
			throw refusedUrl(this.#url, cause);
		}
		await connection.ready;
	}

	/** Tells `user` from now on; at once, if a connection is ready. */
	add(user: LinkUser): void {
		this.#users.add(user);
		if (this.#state === "ready" && this.#connection !== undefined) {
			user.attached?.(this.#connection, this.hello);
		}
	}

	remove(user: LinkUser): void {
		this.#users.delete(user);
	}

	/** A ready connection, now or when there is one again. Rejects when the link closes. */
	ready(signal?: AbortSignal): Promise<Connection> {
		if (this.closedError !== undefined) return Promise.reject(this.closedError);
		if (this.#state === "ready" && this.#connection !== undefined) {
			return Promise.resolve(this.#connection);
		}
		const waiting = new Promise<Connection>((resolve, reject) => {
			this.#waiters.push({ resolve, reject });
		});
		return withSignal(waiting, signal);
	}

	/**
	 * One request on the connection, or on the next one: never repeated, as it may have been carried
	 * out.
	 */
	async request(
		operation: number,
		fields: FrameValue[],
		signal?: AbortSignal,
	): Promise<DecodedMap> {
		if (signal?.aborted) throw abortReason(signal);
		const connection = await this.ready(signal);
		return withSignal(connection.request(operation, ...fields), signal);
	}

	/** Drops the connection and makes one with a new producer identity. */
	renewIdentity(): void {
		this.#identity = undefined;
		// Also one that is being made: its hello may have carried the old identity.
		this.drop("a new producer identity is needed");
	}

	/** Drops the connection, which is not answering or no longer wanted; another one is made. */
	drop(reason: string): void {
		this.#connection?.abandon(new MillraceError("CONNECTION_LOST", reason));
	}

	/**
	 * Ends it all: requests that wait are rejected with `error`. Resolves when the connection has
	 * ended.
	 */
	async close(error: MillraceError): Promise<void> {
		if (this.#state === "closed") return;
		this.#state = "closed";
		this.closedError = error;
		clearTimeout(this.#timer);
		clearTimeout(this.#renewTimer);
		const closing = this.#connection?.close();
		for (const waiter of this.#waiters.splice(0)) waiter.reject(error);
		for (const user of [...this.#users]) user.failed?.(error);
		await closing;
	}

	#dial(retry: boolean): Connection {
		const { clientName, connectTimeoutMs } = this.#options;
		const identity = this.#identity;
		let attached = false;
		let hasCredentials = true;
		const connection = new Connection(
			this.#url,
			this.#openSocket,
			this.#options,
			{ client: clientName, ...(identity === undefined ? {} : { producer: identity }) },
			() =>
				this.#credentials().catch((error: unknown) => {
					hasCredentials = false;
					throw error;
				}),
			{
				produced: (id, reached, results) => {
					for (const user of this.#users) user.produced?.(id, reached, results);
				},
				produceFailed: (id, error) => {
					for (const user of this.#users) user.produceFailed?.(id, error);
				},
				delivered: (operation, subscription, frame, reader) => {
					for (const user of this.#users) {
						user.delivered?.(operation, subscription, frame, reader);
					}
				},
				notice: (kind, details) => this.#notice(kind, details),
				closed: (error, reconnect) => {
					clearTimeout(timeout);
					// Whoever has none at the moment may have some later: the broker refused nothing.
					const again = !hasCredentials || this.#mayBeRenewed(error, attached) || reconnect;
					this.#closed(error, (attached || retry) && again, attached);
				},
			},
		);
		this.#connection = connection;
		const timeout = setTimeout(() => {
			connection.abandon(
				new MillraceError("CONNECTION_LOST", `no connection within ${connectTimeoutMs} ms`),
			);
		}, connectTimeoutMs);
		connection.ready.then(
			(hello) => {
				clearTimeout(timeout);
				if (this.#state === "closed") return;
				attached = true;
				this.#attach(connection, hello);
			},
			() => undefined, // told by `closed`
		);
		return connection;
	}

	async #credentials(): Promise<Credentials | undefined> {
		const credentials = await credentialsFrom(this.#options.auth);
		if (credentials?.scheme !== "cookie") this.#cookieUntilMs = undefined;
		else this.#cookieUntilMs ??= performance.now() + COOKIE_MS_MAX;
		return credentials;
	}

	/**
	 * Whether a connection that was refused, or ended for want of credentials, may be had with other
	 * ones. They run out under a program that stood still for long, such as that of a machine asleep.
	 */
	#mayBeRenewed({ code }: MillraceError, attached: boolean): boolean {
		const nowMs = performance.now();
		if (this.#cookieUntilMs !== undefined && attached) this.#cookieUntilMs = nowMs + COOKIE_MS_MAX;
		if (code !== "NOT_AUTHENTICATED") return false;
		if (this.#cookieUntilMs !== undefined) return nowMs < this.#cookieUntilMs;
		return attached && isRenewable(this.#options.auth) && !this.#isRenewalRefused;
	}

	#attach(connection: Connection, hello: HelloAnswer): void {
		this.#attachedMs = performance.now();
		this.#isRenewalRefused = false;
		this.#state = "ready";
		this.#hello = hello;
		this.#identity = hello.producer;
		for (const waiter of this.#waiters.splice(0)) waiter.resolve(connection);
		for (const user of [...this.#users]) user.attached?.(connection, hello);
	}

	#closed(error: MillraceError, reconnect: boolean, attached: boolean): void {
		clearTimeout(this.#renewTimer);
		this.#connection = undefined;
		this.lastError = error;
		if (this.#state === "closed") return;
		// Another broker than the one that gave us the identity, or one that lost its data.
		if (error.code === "UNKNOWN_PRODUCER_ID") this.#identity = undefined;
		if (!reconnect) {
			void this.close(error); // there is no connection whose end it could wait for
			return;
		}
		this.#state = "connecting";
		if (attached) {
			if (performance.now() - this.#attachedMs > STABLE_MS) this.#backoff.reset();
			for (const user of [...this.#users]) user.detached?.();
		}
		this.#timer = setTimeout(() => this.#dial(true), this.#backoff.nextMs());
	}

	#notice(kind: string, details: DecodedMap): void {
		if (kind === "auth_expiring" && isRenewable(this.#options.auth)) void this.#renew();
		for (const user of [...this.#users]) user.notice?.(kind, details);
	}

	/**
	 * Presents credentials anew. The broker says when it is time, by its own clock; it ends the
	 * connection when they are refused or run out.
	 */
	async #renew(
		backoff = new Backoff(RENEWAL_RETRY_MS.first, RENEWAL_RETRY_MS.most),
	): Promise<void> {
		const connection = this.connection;
		if (connection === undefined) return;
		let auth: Credentials | undefined;
		const renewIn = (ms: number) => {
			if (this.connection !== connection) return;
			this.#renewTimer = setTimeout(() => void this.#renew(backoff), ms);
		};
		try {
			auth = await credentialsFrom(this.#options.auth);
		} catch {
			// In the end the broker ends the connection, and it is asked again for the next.
			renewIn(backoff.nextMs());
			return;
		}
		// The browser sends the cookie of now with a new connection, and with nothing else.
		if (auth?.scheme === "cookie") return;
		try {
			await connection.request(OPERATION.auth, auth as FrameValue | undefined);
		} catch (error) {
			const { code, retryAfterMs } = error as MillraceError;
			// Told by the end of the connection, which follows.
			this.#isRenewalRefused = code === "NOT_AUTHENTICATED";
			// It was not looked at.
			if (code === "THROTTLING_QUOTA_EXCEEDED") renewIn(retryAfterMs ?? backoff.nextMs());
		}
	}
}

function refusedUrl(url: string, cause: unknown): MillraceError {
	return new MillraceError("INVALID_ARGUMENT", `${url} is not accepted`, { cause });
}
