/**
 * One Kafka connection: bytes in, frames, requests, answers in the order of the requests.
 *
 * A request starts when all before it are answered, as Kafka has it, but for produce requests
 * behind produce requests: those are appended as they come and wait for their flush together, so
 * that one connection is not held to one batch a flush. What may not start yet stays in the socket,
 * where it is more than a few requests: reading is paused, and little is queued here.
 *
 * A fetch that waits for records is answered with what there is once another request comes behind
 * it, where Kafka lets that request wait as long. Clients that use one connection for both would
 * else start to read late, or ask again for what is on its way: librdkafka reads a partition twice
 * when it is given another one while it waits for where to begin.
 */
import type { Socket } from "node:net";

import { asMillraceError } from "../errors.ts";
import { LIMITS } from "../limits.ts";
import { ClientWatch, type WatchedClient } from "../monitoring/client-watch.ts";
import type { ConnectionQuota } from "../quotas/connection-quota.ts";
import { Peer, type Principal, plainAddress } from "../security/principal.ts";
import type { ServedApi, WriteBody } from "./api.ts";
import { auditRefusal } from "./audited.ts";
import { Exchange, type RequestOrigin } from "./exchange.ts";
import { FetchProgress } from "./fetch-progress.ts";
import { FrameAssembler } from "./frames.ts";
import { hasFlexibleResponseHeader, openRequest } from "./headers.ts";
import type { KafkaHost } from "./host.ts";
import { SASL_AUTHENTICATE_KEY, SASL_HANDSHAKE_KEY, SaslSession } from "./sasl-session.ts";
import { KafkaFrameError } from "./wire/frame-error.ts";

/** API keys, which stand at the start of frames. */
const PRODUCE_KEY = 0;
const FETCH_KEY = 1;

/**
 * Bytes of requests that may not start yet from which on reading is paused. Below it goes on, so
 * that a client is noticed that ends its side behind them.
 */
const WAITING_BYTES_MAX = 65_536;

/** A request that is being answered. */
interface Slot {
	readonly exchange: Exchange;
	readonly api: ServedApi;
	readonly isProduce: boolean;
	/** Of the request. */
	readonly bytes: number;
	isDone: boolean;
	/** Writes the answer; null for none. */
	body: WriteBody | null;
}

export class KafkaConnection implements WatchedClient {
	readonly id: number;
	readonly openedMs: number;
	readonly #host: KafkaHost;
	readonly #socket: Socket;
	readonly #origin: RequestOrigin;
	readonly #peer: Peer;
	readonly #onClosed: (connection: KafkaConnection) => void;
	readonly #frames: FrameAssembler;
	/** In the order in which they came. */
	readonly #slots: Slot[] = [];
	/** Requests of `#slots` other than produce: one at most. */
	#exclusiveCount = 0;
	/** Bytes that the host was told this connection holds. */
	#heldBytes = 0;
	/** Bytes of the requests in `#slots`. */
	#inFlightBytes = 0;
	/** Answers that the socket has not taken whole yet. */
	#unwrittenCount = 0;
	#isAdvancing = false;
	#isCorked = false;
	#isLeaving = false;
	/** The client sends nothing more. */
	#hasEnded = false;
	#isClosed = false;
	/** What counts for the client; null while there have been no quotas. */
	#quota: ConnectionQuota | null = null;
	#lastActiveMs: number;
	/** Since when answers wait of which the socket has taken none whole. */
	#unwrittenSinceMs = 0;
	#clientName = "";
	#watch: ClientWatch | null = null;

	constructor(
		host: KafkaHost,
		socket: Socket,
		connectionId: number,
		onClosed: (connection: KafkaConnection) => void,
	) {
		this.id = connectionId;
		this.#host = host;
		this.#socket = socket;
		this.#onClosed = onClosed;
		// Who has not said who it is may not have much kept for it.
		const bytesMax = host.sasl === null ? host.frameBytesMax : LIMITS.saslFrameBytesMax;
		this.#frames = new FrameAssembler(bytesMax, host.blocks);
		this.openedMs = host.clock.monotonicMs();
		this.#lastActiveMs = this.openedMs;
		this.#peer = new Peer(socket.remoteAddress ?? "", host.authorizer);
		this.#origin = {
			connectionId,
			localAddress: plainAddress(socket.localAddress ?? ""),
			localPort: socket.localPort ?? 0,
			remoteAddress: this.#peer.host,
			sasl: host.sasl === null ? null : new SaslSession(host.sasl, this.#peer),
			progress: new FetchProgress(),
		};
		const { remoteAddress } = this.#origin;
		host.log.debug({ connectionId, remoteAddress }, "connection opened");
		socket.on("end", () => this.#ended());
		// Told by "close", too; without a listener it would end the process.
		socket.on("error", (error) => this.#log("debug", error, "connection failed"));
		socket.on("close", () => this.#closed());
	}

	/**
	 * Bytes of memory that this connection holds: what has come of requests that have not started,
	 * and the request at work. Of a produce request nothing is kept while it waits for its flush.
	 */
	get heldBytes(): number {
		return this.#heldBytes;
	}

	get protocol(): "kafka" {
		return "kafka";
	}

	get principal(): string {
		return this.#peer.principal;
	}

	/** As its last request had it. */
	get clientName(): string {
		return this.#clientName;
	}

	get remoteAddress(): string {
		return this.#origin.remoteAddress;
	}

	/** Null: it was never seen to be slow or behind. */
	get watch(): ClientWatch | null {
		return this.#watch;
	}

	/** Looks how far the client is behind, and what it is waited for. */
	look(nowMs: number): void {
		const { lagRecords, unaskedSinceMs } = this.#origin.progress;
		const unreadSinceMs = this.#unwrittenCount > 0 ? this.#unwrittenSinceMs : undefined;
		// Most clients have everything at any time: they need none.
		if (lagRecords === 0 && unreadSinceMs === undefined && this.#watch === null) return;
		this.#watch ??= new ClientWatch();
		this.#watch.look(nowMs, { unreadSinceMs, unaskedSinceMs, lagRecords });
	}

	/** Bytes of answers that the socket has not taken yet. */
	get bufferedBytes(): number {
		return this.#socket.writableLength;
	}

	/** Milliseconds for which nothing came and nothing was answered; 0 while a request is at work. */
	idleMs(nowMs: number): number {
		return this.#slots.length > 0 ? 0 : nowMs - this.#lastActiveMs;
	}

	/** Milliseconds for which the client has not said who it is; 0 when it has. */
	unknownMs(nowMs: number): number {
		const { sasl } = this.#origin;
		return sasl === null || sasl.isAuthenticated ? 0 : nowMs - this.openedMs;
	}

	/** Whether produce requests wait for their answers. */
	get isBusy(): boolean {
		return this.#slots.length > this.#exclusiveCount || this.#unwrittenCount > 0;
	}

	/** Takes over who the client turned out to be before its first request. */
	identify(principal: Principal): void {
		this.#peer.become(principal);
	}

	/** Takes no further request; the connection ends when those at work are answered. */
	leave(): void {
		this.#isLeaving = true;
		this.#frames.clear();
		this.#tellHeldBytes();
		this.#endIfDone();
	}

	/** Ends the connection at once. */
	destroy(reason?: string): void {
		const { connectionId, remoteAddress } = this.#origin;
		if (reason !== undefined) this.#host.log.warn({ connectionId, remoteAddress }, reason);
		this.#socket.destroy();
	}

	/** Takes what has come, which is lent until this returns. */
	received(chunk: Buffer): void {
		if (this.#isLeaving) return;
		this.#lastActiveMs = this.#host.clock.monotonicMs();
		this.#frames.push(chunk);
		this.#advance();
		this.#settle();
	}

	/**
	 * A client that has said all it wants to say is still answered, also to what has to wait for its
	 * turn. One that is gone altogether looks the same: it is to hold nothing for long.
	 */
	#ended(): void {
		this.#hasEnded = true;
		for (const { exchange } of this.#slots) exchange.hurry();
		this.#endIfDone();
	}

	/** Starts what may start, and stops reading where something has to wait. */
	#advance(): void {
		if (this.#isAdvancing || this.#isLeaving || this.#socket.destroyed) return;
		this.#isAdvancing = true;
		let mustWait = this.#isThrottled;
		try {
			while (!mustWait && !this.#isLeaving && this.#frames.hasFrame()) {
				const isProduce = this.#frames.apiKey === PRODUCE_KEY;
				mustWait = !this.#mayStart(isProduce);
				if (mustWait) this.#hurryFetch();
				else this.#start(this.#takeFrame(isProduce));
			}
		} catch (error) {
			this.#refuse(error);
		} finally {
			this.#isAdvancing = false;
		}
		if (this.#isLeaving) this.#endIfDone();
		if (this.#isClosed) return;
		if (mustWait && this.#frames.bytes >= WAITING_BYTES_MAX) this.#socket.pause();
		else if (!mustWait && this.#socket.isPaused()) this.#socket.resume();
	}

	/** Fetches behind fetches wait: a client that keeps some on their way would ask all the time. */
	#hurryFetch(): void {
		const exchange = this.#slots[0]?.exchange;
		if (exchange?.apiKey === FETCH_KEY && this.#frames.apiKey !== FETCH_KEY) exchange.hurry();
	}

	/** Of a produce request nothing is wanted when its handler returns: its bytes stay lent. */
	#takeFrame(isProduce: boolean): Buffer {
		const lent = this.#frames.take();
		if (isProduce) return lent;
		// Not from Node's pool: it may live long, and would keep its neighbours there alive.
		const frame = Buffer.allocUnsafeSlow(lent.length);
		lent.copy(frame);
		return frame;
	}

	#mayStart(isProduce: boolean): boolean {
		if (this.#isThrottled) return false;
		if (this.#slots.length === 0) return this.#unwrittenCount === 0;
		return (
			isProduce &&
			this.#exclusiveCount === 0 &&
			this.#inFlightBytes + this.#frames.length <= LIMITS.kafkaInFlightBytesMax &&
			this.#slots.length < LIMITS.inFlightRequestsMax &&
			this.#socket.writableLength === 0
		);
	}

	/** Throws KafkaFrameError for what is no request that is served. */
	#start(frame: Buffer): void {
		const { api, header, reader, isVersionUnknown } = openRequest(frame, this.#host.apis);
		this.#origin.sasl?.check(header.apiKey);
		const exchange = new Exchange(this.#host, this.#origin, this.#peer, header, frame);
		exchange.startedMs = this.#lastActiveMs;
		const { connectionId } = this.#origin;
		const { apiKey, apiVersion, correlationId, clientId } = header;
		this.#host.log.trace({ connectionId, apiKey, apiVersion, correlationId, clientId }, "request");
		this.#clientName = clientId;
		if (this.#hasEnded) exchange.hurry();
		const isProduce = header.apiKey === PRODUCE_KEY;
		const bytes = frame.length;
		if (this.#host.quotas.isAny) this.#charge(exchange, bytes);
		const slot: Slot = { exchange, api, isProduce, bytes, isDone: false, body: null };
		this.#slots.push(slot);
		this.#inFlightBytes += frame.length;
		if (!isProduce) this.#exclusiveCount++;
		let body: ReturnType<ServedApi["serve"]>;
		try {
			body = isVersionUnknown ? (api.serveUnknownVersion ?? null) : api.serve(reader, exchange);
		} catch (error) {
			this.#refuse(error, slot);
			return;
		}
		// The core has taken what it wants of it: it is not to be held while its flush is waited for.
		if (isProduce) exchange.forgetFrame();
		if (!(body instanceof Promise)) {
			this.#answered(slot, body);
			return;
		}
		body.then(
			(written) => this.#answered(slot, written),
			(error: unknown) => this.#refuse(error, slot),
		);
	}

	/**
	 * Counts a request against the client's quotas. One that is too much is carried out, and the next
	 * one waits. Who has not said who it is, is not counted.
	 */
	#charge(exchange: Exchange, bytes: number): void {
		const { connectionId, remoteAddress: address, sasl } = this.#origin;
		if (sasl !== null && (!sasl.isAuthenticated || isHandshake(exchange.apiKey))) return;
		const { quotas } = this.#host;
		this.#quota ??= quotas.connection({ protocol: "kafka", connectionId, address }, () => {
			this.#advance();
			this.#settle();
			this.#endIfDone();
		});
		this.#quota.identify(this.#peer.principal, exchange.clientId);
		this.#quota.charge("request", 1);
		if (exchange.apiKey === PRODUCE_KEY) this.#quota.charge("produce", bytes);
		exchange.quota = this.#quota;
	}

	/** Whether the client has to wait because of a quota. */
	get #isThrottled(): boolean {
		return this.#quota !== null && this.#quota.longestWaitMs > 0;
	}

	#answered(slot: Slot, body: WriteBody | null): void {
		slot.isDone = true;
		slot.body = body;
		if (this.#isClosed) return;
		try {
			this.#writeAnswers();
		} catch (error) {
			// The answers behind the one that could not be written would be taken for it.
			this.#refuse(error, this.#slots[0]);
			return;
		}
		const { sasl } = this.#origin;
		if (sasl?.isRefused === true) this.leave();
		else if (sasl?.isAuthenticated === true) this.#frames.allow(this.#host.frameBytesMax);
		this.#advance();
		this.#settle();
		this.#endIfDone();
	}

	/** Writes the answers that are next in order. */
	#writeAnswers(): void {
		for (;;) {
			const slot = this.#slots[0];
			if (slot === undefined || !slot.isDone) return;
			this.#removeFrom(0, 1);
			try {
				if (slot.body === null) this.#unanswered(slot.exchange);
				else this.#write(slot.exchange, slot.api, slot.body);
			} catch (error) {
				// It is no slot any more: nobody else would give back what was lent for it.
				slot.exchange.end();
				throw error;
			}
		}
	}

	#write(exchange: Exchange, api: ServedApi, body: WriteBody): void {
		const { writer } = this.#host;
		const { apiVersion, correlationId } = exchange;
		writer.startFrame(correlationId, hasFlexibleResponseHeader(api, apiVersion));
		body(writer);
		for (const code of writer.errors) {
			this.#host.requests.failed(exchange.apiKey, code);
			if (!api.isAudited) auditRefusal(api.facts, code, exchange);
		}
		const chunks = writer.finishFrame();
		this.#cork();
		if (this.#unwrittenCount++ === 0) this.#unwrittenSinceMs = this.#host.clock.monotonicMs();
		const last = chunks.length - 1;
		for (let index = 0; index < last; index++) this.#socket.write(chunks[index] as Uint8Array);
		this.#socket.write(chunks[last] as Uint8Array, () => this.#written(exchange));
	}

	/** The protocol has no answer for it. */
	#unanswered(exchange: Exchange): void {
		const { clock, requests } = this.#host;
		requests.answered(exchange.apiKey, clock.monotonicMs() - exchange.startedMs);
		exchange.end();
	}

	#written(exchange: Exchange): void {
		this.#unwrittenCount--;
		exchange.end();
		const { clock, requests } = this.#host;
		const nowMs = clock.monotonicMs();
		this.#unwrittenSinceMs = nowMs;
		requests.answered(exchange.apiKey, nowMs - exchange.startedMs);
		if (this.#isClosed) return;
		this.#lastActiveMs = nowMs;
		this.#advance();
		this.#settle();
		this.#endIfDone();
	}

	/** What is written in this turn leaves with one call to the system. */
	#cork(): void {
		if (this.#isCorked) return;
		this.#isCorked = true;
		this.#socket.cork();
		process.nextTick(() => {
			this.#isCorked = false;
			this.#socket.uncork();
		});
	}

	/** Takes slots out: one, or all from an index on. */
	#removeFrom(index: number, count = this.#slots.length): readonly Slot[] {
		const removed = this.#slots.splice(index, count);
		for (const { bytes, isProduce } of removed) {
			this.#inFlightBytes -= bytes;
			if (!isProduce) this.#exclusiveCount--;
		}
		return removed;
	}

	/**
	 * Ends the connection because of a request that came over it, or because of a bug that it met.
	 * The requests before `slot` are answered first, as in Kafka; without `slot` all of them.
	 */
	#refuse(error: unknown, slot?: Slot): void {
		if (this.#isClosed) return;
		const isClients = error instanceof KafkaFrameError || asMillraceError(error).number > 0;
		this.#log(isClients ? "debug" : "error", error, "closing a connection");
		const index = slot === undefined ? this.#slots.length : this.#slots.indexOf(slot);
		// It stood behind one that was refused already.
		if (index < 0) return;
		for (const { exchange } of this.#removeFrom(index)) exchange.end();
		for (const { exchange } of this.#slots) exchange.hurry();
		// Reading goes on: that is how it is noticed when the client leaves before.
		this.#socket.resume();
		this.leave();
	}

	#endIfDone(): void {
		if (!(this.#isLeaving || this.#hasEnded) || this.#isAdvancing) return;
		if (this.#slots.length > 0 || this.#unwrittenCount > 0) return;
		// What it has sent before it ended its side is still to be done.
		if (!this.#isLeaving && this.#isThrottled && this.#frames.bytes > 0) return;
		this.#socket.end();
		this.#socket.destroySoon();
	}

	#closed(): void {
		if (this.#isClosed) return;
		this.#isClosed = true;
		this.#quota?.close();
		this.#frames.clear();
		for (const { exchange } of this.#removeFrom(0)) exchange.end();
		this.#tellHeldBytes();
		const { connectionId, remoteAddress } = this.#origin;
		this.#host.log.debug({ connectionId, remoteAddress }, "connection closed");
		this.#onClosed(this);
	}

	/** Keeps what has to wait, when nobody looks at lent memory any more. */
	#settle(): void {
		if (this.#isAdvancing) return;
		this.#frames.keep();
		this.#tellHeldBytes();
	}

	/** May end this connection, or another one: whichever holds most when all hold too much. */
	#tellHeldBytes(): void {
		const atWork = this.#exclusiveCount > 0 ? (this.#slots.at(-1)?.bytes ?? 0) : 0;
		const bytes = this.#frames.heldBytes + atWork;
		const change = bytes - this.#heldBytes;
		this.#heldBytes = bytes;
		if (change !== 0) this.#host.heldBytesChanged(change);
	}

	#log(level: "debug" | "error", error: unknown, message: string): void {
		const { connectionId, remoteAddress } = this.#origin;
		this.#host.log[level]({ err: error, connectionId, remoteAddress }, message);
	}
}

/** Whether an API is part of a client's saying who it is. */
function isHandshake(apiKey: number): boolean {
	return apiKey === SASL_HANDSHAKE_KEY || apiKey === SASL_AUTHENTICATE_KEY;
}
