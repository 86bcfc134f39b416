import { CLOSE_CODES } from "../../protocol/close-codes.ts";
import { MillraceError } from "../../protocol/error.ts";
import type { Credentials, HelloAnswer, HelloOptions } from "../../protocol/frames.ts";
import { OPERATION } from "../../protocol/operations.ts";
import { type DecodedMap, FrameReader } from "../../protocol/reader.ts";
import { type FrameValue, FrameWriter } from "../../protocol/writer.ts";
import { Fifo } from "../fifo.ts";
import { helloAnswer } from "./hello.ts";
import type { OpenSocket, Socket, SocketOptions } from "./socket.ts";

/** A connection on which nothing came for so long is asked whether it lives, in milliseconds. */
const SILENCE_MS_MAX = 10_000;

/** ... and is given up when it does not answer for so long, in milliseconds. */
const PING_ANSWER_MS_MAX = 15_000;

/** A closing handshake that takes longer is cut short, in milliseconds. */
const CLOSING_MS_MAX = 2_000;

/** Requests other than produce frames that wait for answers; the broker takes some 1,000 in all. */
export const REQUESTS_UNANSWERED_MAX = 256;

const UINT32_MAX = 4_294_967_295;

/** What is not counted against quotas: it keeps the connection. */
const UNCOUNTED: ReadonlySet<number> = new Set([OPERATION.hello, OPERATION.auth, OPERATION.ping]);

/** One element of a produce answer. */
export interface ProduceResult {
	readonly code: number;
	readonly partition: number;
	readonly baseOffset: number;
	readonly appendTimeMs: number;
}

/** What a connection tells. Nothing follows `closed`. */
export interface ConnectionEvents {
	/** An answer to a produce frame. */
	produced(id: number, reached: number, results: ProduceResult[]): void;
	/** A produce frame that was refused as a whole. */
	produceFailed(id: number, error: MillraceError): void;
	/** A frame about a subscription; the reader stands behind the subscription's number. */
	delivered(operation: number, subscription: number, frame: Uint8Array, reader: FrameReader): void;
	notice(kind: string, details: DecodedMap): void;
	/** The connection is over; `reconnect`: whether another one may go better. */
	closed(error: MillraceError, reconnect: boolean): void;
}

interface Request {
	readonly operation: number;
	readonly fields: FrameValue[];
	resolve(answer: DecodedMap): void;
	reject(error: MillraceError): void;
}

/**
 * One WebSocket from hello to its end: sends frames, matches answers to requests, notices when the
 * other side is gone. Knows nothing of producing and consuming, and never reconnects.
 */
export class Connection {
	readonly #socket: Socket;
	readonly #events: ConnectionEvents;
	readonly #writer = new FrameWriter(512);
	readonly #reader = new FrameReader();
	readonly #waiting = new Map<number, Request>();
	/** Those that are sent when answers have come, or when a quota allows it again. */
	readonly #queued = new Fifo<Request>();
	readonly #options: Omit<HelloOptions, "auth">;
	readonly #credentials: () => Promise<Credentials | undefined>;
	#nextId = 1;
	#closed = false;
	#brokerError: MillraceError | undefined;
	/** Before this a quota allows no requests. */
	#askAfterMs = 0;
	#askTimer: ReturnType<typeof setTimeout> | undefined;
	#lastMessageMs = performance.now();
	#watchdog: ReturnType<typeof setInterval> | undefined;
	#hello: { resolve(answer: HelloAnswer): void; reject(error: MillraceError): void } | undefined;

	readonly #ended: Promise<void>;
	#tellEnded!: () => void;

	/** Resolves to what hello answered; rejects when the connection ends first. */
	readonly ready: Promise<HelloAnswer>;

	constructor(
		url: string,
		openSocket: OpenSocket,
		socketOptions: SocketOptions,
		hello: Omit<HelloOptions, "auth">,
		credentials: () => Promise<Credentials | undefined>,
		events: ConnectionEvents,
	) {
		this.#events = events;
		this.#options = hello;
		this.#credentials = credentials;
		this.#ended = new Promise((resolve) => {
			this.#tellEnded = resolve;
		});
		this.ready = new Promise((resolve, reject) => {
			this.#hello = { resolve, reject };
		});
		this.#socket = openSocket(url, socketOptions, {
			opened: () => void this.#sayHello(),
			message: (bytes) => this.#receive(bytes),
			closed: (code, reason, cause) => this.#end(code, reason, cause),
		});
	}

	/** A number for a request, unique among those of this connection. */
	takeId(): number {
		const id = this.#nextId;
		this.#nextId = id === UINT32_MAX ? 1 : id + 1;
		return id;
	}

	/** Sends a produce frame that its caller has built with an id from `takeId()`. */
	sendFrame(frame: Uint8Array): void {
		this.#socket.send(frame);
	}

	/**
	 * Sends `[operation, id, ...fields]`, in the order of the calls; the answer's map, or the
	 * broker's error.
	 */
	request(operation: number, ...fields: FrameValue[]): Promise<DecodedMap> {
		return new Promise((resolve, reject) => {
			const request = { operation, fields, resolve, reject };
			if (this.#closed) reject(new MillraceError("CONNECTION_LOST"));
			else if (UNCOUNTED.has(operation) || this.#mayAsk()) this.#ask(request);
			else this.#queued.push(request);
		});
	}

	/** Adds credit to a subscription; no answer comes. */
	credit(subscription: number, records: number, bytes: number): void {
		if (!this.#closed) this.#write([OPERATION.credit, subscription, records, bytes]);
	}

	/** Ends the connection in order; resolves when it has ended. */
	async close(): Promise<void> {
		if (this.#closed) return;
		this.#socket.close(CLOSE_CODES.NORMAL.code, "");
		const closed = new MillraceError("CLOSED");
		const timer = setTimeout(() => this.abandon(closed), CLOSING_MS_MAX);
		await this.#ended;
		clearTimeout(timer);
	}

	/** Gives the connection up at once: its other end does not answer, or it broke the protocol. */
	abandon(error: MillraceError): void {
		this.#brokerError ??= error;
		this.#socket.terminate();
		this.#end(1006, "", error);
	}

	async #sayHello(): Promise<void> {
		this.#watchdog = setInterval(() => this.#watch(), SILENCE_MS_MAX / 4);
		try {
			const auth = await this.#credentials();
			const options: HelloOptions = auth === undefined ? this.#options : { ...this.#options, auth };
			const answer = await this.request(OPERATION.hello, options as unknown as FrameValue);
			this.#hello?.resolve(helloAnswer(answer));
		} catch (thrown) {
			const error =
				thrown instanceof MillraceError
					? thrown
					: new MillraceError("UNKNOWN_SERVER_ERROR", "hello", { cause: thrown });
			this.abandon(error);
		}
	}

	#ask(request: Request): void {
		const id = this.takeId();
		this.#waiting.set(id, request);
		this.#write([request.operation, id, ...request.fields]);
	}

	#mayAsk(): boolean {
		return this.#waiting.size < REQUESTS_UNANSWERED_MAX && performance.now() >= this.#askAfterMs;
	}

	#askQueued(): void {
		while (this.#mayAsk()) {
			const next = this.#queued.shift();
			if (next === undefined) return;
			this.#ask(next);
		}
	}

	/** The broker takes no requests for so long. */
	#pauseRequests(ms: number): void {
		this.#askAfterMs = Math.max(this.#askAfterMs, performance.now() + ms);
		clearTimeout(this.#askTimer);
		const waitMs = Math.ceil(this.#askAfterMs - performance.now());
		this.#askTimer = setTimeout(() => this.#askQueued(), waitMs + 1);
	}

	#write(frame: FrameValue[]): void {
		this.#socket.send(this.#writer.reset().value(frame).finishCopy());
	}

	#receive(bytes: Uint8Array): void {
		if (this.#closed) return;
		this.#lastMessageMs = performance.now();
		try {
			const reader = this.#reader.reset(bytes);
			const elements = reader.arrayHeader();
			const operation = reader.uint32();
			if (operation >= OPERATION.records && operation <= OPERATION.ended) {
				this.#events.delivered(operation, reader.uint32(), bytes, reader);
			} else this.#control(operation, elements, reader);
		} catch (thrown) {
			this.abandon(new MillraceError("MALFORMED_FRAME", "from the broker", { cause: thrown }));
		}
	}

	#control(operation: number, elements: number, reader: FrameReader): void {
		switch (operation) {
			case OPERATION.answer: {
				const id = reader.uint32();
				this.#settle(id)?.resolve(reader.mapValue());
				return;
			}
			case OPERATION.produced: {
				const id = reader.uint32();
				const reached = reader.integer();
				this.#events.produced(id, reached, readResults(reader));
				return;
			}
			case OPERATION.error: {
				const id = reader.nil() ? undefined : reader.uint32();
				const error = readError(reader, elements);
				if (id === undefined) this.#brokerError = error;
				else {
					const waiting = this.#settle(id);
					if (waiting !== undefined) this.#refused(waiting, error);
					else this.#events.produceFailed(id, error);
				}
				return;
			}
			case OPERATION.notice: {
				const kind = reader.string();
				const details = reader.mapValue();
				if (kind === "throttled") this.#throttled(details);
				this.#events.notice(kind, details);
				return;
			}
			default:
				// A later broker may say what this version does not know; what it needs is in `features`.
				return;
		}
	}

	/**
	 * A request that a quota did not allow was not carried out: it is sent again. Of what is not
	 * counted it was no quota, and its caller knows when to try again.
	 */
	#refused(request: Request, error: MillraceError): void {
		const { code } = error;
		if (code !== "THROTTLING_QUOTA_EXCEEDED" || UNCOUNTED.has(request.operation)) {
			request.reject(error);
			return;
		}
		this.#queued.push(request);
		this.#pauseRequests(error.retryAfterMs ?? 0);
	}

	#throttled({ throttle_ms: ms, quota }: DecodedMap): void {
		const isOfRequests = typeof quota === "string" && quota.endsWith("request_rate");
		if (isOfRequests && typeof ms === "number") this.#pauseRequests(ms);
	}

	#settle(id: number): Request | undefined {
		const waiting = this.#waiting.get(id);
		if (!this.#waiting.delete(id)) return undefined;
		this.#askQueued();
		return waiting;
	}

	#watch(): void {
		const silenceMs = performance.now() - this.#lastMessageMs;
		if (silenceMs > SILENCE_MS_MAX + PING_ANSWER_MS_MAX) {
			this.abandon(new MillraceError("CONNECTION_LOST", "the broker does not answer"));
		} else if (silenceMs > SILENCE_MS_MAX) {
			this.request(OPERATION.ping).catch(() => {
				// A lost connection is told by `closed`; a broker that refuses pings lives.
			});
		}
	}

	#end(code: number, reason: string, cause: unknown): void {
		if (this.#closed) return;
		this.#closed = true;
		this.#tellEnded();
		clearInterval(this.#watchdog);
		clearTimeout(this.#askTimer);
		const known = Object.values(CLOSE_CODES).find((entry) => entry.code === code);
		const error = this.#brokerError ?? closeError(code, reason, cause);
		const reconnect = (known?.reconnect ?? true) && error.code !== "NOT_AUTHENTICATED";
		this.#hello?.reject(error);
		this.ready.catch(() => undefined);
		for (const waiting of [...this.#waiting.values(), ...this.#queued]) {
			waiting.reject(new MillraceError("CONNECTION_LOST", "", { cause: error }));
		}
		this.#waiting.clear();
		this.#events.closed(error, reconnect);
	}
}

function closeError(code: number, reason: string, cause: unknown): MillraceError {
	if (code === CLOSE_CODES.NOT_AUTHENTICATED.code || code === CLOSE_CODES.FORBIDDEN.code) {
		return new MillraceError("NOT_AUTHENTICATED", reason, { cause });
	}
	const detail = cause instanceof Error ? cause.message : reason;
	const closing = detail === "" ? `closed with ${code}` : detail;
	return new MillraceError("CONNECTION_LOST", closing, { cause });
}

function readResults(reader: FrameReader): ProduceResult[] {
	const results: ProduceResult[] = [];
	const count = reader.arrayHeader();
	for (let index = 0; index < count; index++) {
		const fields = reader.arrayHeader();
		const code = reader.integer();
		const partition = reader.integer();
		const baseOffset = reader.integer();
		const appendTimeMs = reader.integer();
		for (let field = 4; field < fields; field++) reader.skip(3);
		results.push({ code, partition, baseOffset, appendTimeMs });
	}
	return results;
}

function readError(reader: FrameReader, elements: number): MillraceError {
	const code = reader.integer();
	const message = reader.string();
	const details: DecodedMap = elements > 4 ? reader.mapValue() : {};
	return errorOfMap(code, message, details);
}

/** The error behind a number, its message and its map of details. */
export function errorOfMap(code: number, message: string, details: DecodedMap): MillraceError {
	const { topic, partition, retry_after_ms: retryAfterMs } = details;
	return MillraceError.fromNumber(code, particularOf(message), {
		...(typeof topic === "string" ? { topic } : {}),
		...(typeof partition === "number" ? { partition } : {}),
		...(typeof retryAfterMs === "number" ? { retryAfterMs } : {}),
	});
}

/** Messages are "the code's own text: what is particular"; the text is in our own table. */
function particularOf(message: string): string {
	const colon = message.indexOf(": ");
	return colon < 0 ? "" : message.slice(colon + 2);
}
