/**
 * One Kafka connection: bytes in, frames, requests, answers in the order of the requests.
 *
 * A request starts when all before it are answered, as Kafka has it, but for produce requests
 * behind produce requests: those are appended as they come and wait for their flush together, so
 * that one connection is not held to one batch a flush. What may not start yet stays in the socket,
 * where it is more than a few requests: reading is paused, and little is queued here.
 */
import type { Socket } from "node:net";

import { asMillraceError } from "../errors.ts";
import { LIMITS } from "../limits.ts";
import type { ServedApi, WriteBody } from "./api.ts";
import { Exchange, type RequestOrigin } from "./exchange.ts";
import { FrameAssembler } from "./frames.ts";
import { hasFlexibleResponseHeader, openRequest } from "./headers.ts";
import type { KafkaHost } from "./host.ts";
import { KafkaFrameError } from "./wire/frame-error.ts";

/** The API key of Produce stands at the start of its frames. */
const PRODUCE_KEY = 0;

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

export class KafkaConnection {
	readonly #host: KafkaHost;
	readonly #socket: Socket;
	readonly #origin: RequestOrigin;
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
	#lastActiveMs: number;

	constructor(
		host: KafkaHost,
		socket: Socket,
		connectionId: number,
		onClosed: (connection: KafkaConnection) => void,
	) {
		this.#host = host;
		this.#socket = socket;
		this.#onClosed = onClosed;
		this.#frames = new FrameAssembler(host.frameBytesMax, host.blocks);
		this.#lastActiveMs = host.clock.monotonicMs();
		this.#origin = {
			connectionId,
			localAddress: plainAddress(socket.localAddress ?? ""),
			localPort: socket.localPort ?? 0,
			remoteAddress: plainAddress(socket.remoteAddress ?? ""),
		};
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

	/** Milliseconds for which nothing came and nothing was answered; 0 while a request is at work. */
	idleMs(nowMs: number): number {
		return this.#slots.length > 0 ? 0 : nowMs - this.#lastActiveMs;
	}

	/** Whether produce requests wait for their answers. */
	get isBusy(): boolean {
		return this.#slots.length > this.#exclusiveCount || this.#unwrittenCount > 0;
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
		if (reason !== undefined) this.#host.log.warn({ ...this.#origin }, reason);
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
		let mustWait = false;
		try {
			while (!mustWait && !this.#isLeaving && this.#frames.hasFrame()) {
				const isProduce = this.#frames.apiKey === PRODUCE_KEY;
				mustWait = !this.#mayStart(isProduce);
				if (!mustWait) this.#start(this.#takeFrame(isProduce));
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
		const exchange = new Exchange(this.#host, this.#origin, header, frame);
		if (this.#hasEnded) exchange.hurry();
		const isProduce = header.apiKey === PRODUCE_KEY;
		const bytes = frame.length;
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
				if (slot.body === null) slot.exchange.end();
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
		const chunks = writer.finishFrame();
		this.#cork();
		this.#unwrittenCount++;
		const last = chunks.length - 1;
		for (let index = 0; index < last; index++) this.#socket.write(chunks[index] as Uint8Array);
		this.#socket.write(chunks[last] as Uint8Array, () => this.#written(exchange));
	}

	#written(exchange: Exchange): void {
		this.#unwrittenCount--;
		exchange.end();
		if (this.#isClosed) return;
		this.#lastActiveMs = this.#host.clock.monotonicMs();
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
		this.#socket.end();
		this.#socket.destroySoon();
	}

	#closed(): void {
		if (this.#isClosed) return;
		this.#isClosed = true;
		this.#frames.clear();
		for (const { exchange } of this.#removeFrom(0)) exchange.end();
		this.#tellHeldBytes();
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

/** An IPv4 address that came through an IPv6 socket, as IPv4. */
function plainAddress(address: string): string {
	return address.startsWith("::ffff:") ? address.slice("::ffff:".length) : address;
}
