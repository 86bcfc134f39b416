/**
 * One connection: hello, requests and their answers, limits, and turns of its subscriptions. What a
 * client does wrong ends its own connection at most.
 */
import { asMillraceError, MillraceError } from "../errors.ts";
import { LIMITS } from "../limits.ts";
import { CLOSE_CODES, type CloseEntry } from "../protocol/close-codes.ts";
import type { ProducerIdentity } from "../protocol/frames.ts";
import { type NoticeKind, OPERATION } from "../protocol/operations.ts";
import { FrameError, type FrameReader } from "../protocol/reader.ts";
import { DELIVERY_OVERHEAD_BYTES, type DeliveringSession } from "./deliveries.ts";
import { Fields } from "./fields.ts";
import { credit } from "./handlers/credit.ts";
import { produce } from "./handlers/produce.ts";
import { REQUEST_HANDLERS } from "./handlers/table.ts";
import type { LiveTopic } from "./live-topics.ts";
import { Memberships } from "./memberships.ts";
import { type AnswerMap, answerFrame, errorFrame, noticeFrame } from "./outgoing.ts";
import type { Authenticated, SessionHost } from "./session-host.ts";
import type { Subscription, SubscriptionOwner } from "./subscription.ts";
import { TopicAliases } from "./topic-aliases.ts";
import type { Connection, ConnectionHandler } from "./transport.ts";

/** "greeting": hello came and is being answered. */
type State = "silent" | "greeting" | "serving" | "leaving" | "closed";

export class Session implements ConnectionHandler, DeliveringSession, SubscriptionOwner {
	readonly host: SessionHost;
	/** Tells this connection from the others of its loop. */
	readonly number: number;
	readonly aliases: TopicAliases;
	readonly subscriptions = new Map<number, Subscription>();
	readonly #connection: Connection;
	readonly #onClosed: (session: Session) => void;
	readonly #openedMs: number;
	/** Ids of requests that are answered on a later turn. */
	readonly #outstanding = new Set<number>();
	readonly #due = new Set<Subscription>();
	/** What the client calls itself, once it has said hello. */
	clientName = "";
	#state: State = "silent";
	#inFlightBytes = 0;
	#isBackedUp = false;
	#producer: ProducerIdentity = { id: -1, epoch: -1 };
	#authenticated: Authenticated | undefined;
	#isExpiryTold = false;
	/** Most connections never have any. */
	#memberships: Memberships | undefined;

	constructor(host: SessionHost, connection: Connection, onClosed: (session: Session) => void) {
		this.host = host;
		this.number = host.storage.nextConnection();
		this.aliases = new TopicAliases(host.topics);
		this.#connection = connection;
		this.#onClosed = onClosed;
		this.#openedMs = host.clock.monotonicMs();
	}

	/** For people; see Connection. */
	get remoteAddress(): string {
		return this.#connection.remoteAddress;
	}

	get memberships(): Memberships {
		this.#memberships ??= new Memberships(this.host, this);
		return this.#memberships;
	}

	/** The identity under which this connection produces. */
	get producer(): ProducerIdentity {
		return this.#producer;
	}

	get isClosed(): boolean {
		return this.#state === "closed";
	}

	/** Whether hello is done. */
	get isGreeted(): boolean {
		return this.#state === "serving" || this.#state === "leaving";
	}

	/** Whether requests wait for their answers. */
	get isBusy(): boolean {
		return this.#outstanding.size > 0;
	}

	// What the transport tells.

	message(frame: Uint8Array): void {
		this.guard(() => this.#dispatch(frame));
	}

	drained(): void {
		if (!this.#isBackedUp) return;
		this.#isBackedUp = false;
		this.host.deliveries.drained(this);
		if (this.#due.size > 0) this.host.deliveries.enqueue(this);
	}

	closed(code: number): void {
		if (this.#state === "closed") return;
		// Members of a broker that stops stay in their groups: they are back when it is.
		this.#memberships?.close(this.#state !== "leaving");
		this.#state = "closed";
		this.#stopDelivering();
		this.host.log.debug({ code, remote: this.#connection.remoteAddress }, "connection closed");
		this.#onClosed(this);
	}

	// Turns.

	deliver(bytesMax: number): number {
		if (this.#isBackedUp || this.#state === "closed") return 0;
		let bytes = 0;
		this.#connection.cork(() => {
			for (const subscription of [...this.#due]) {
				// Half: two whole deliveries would be twice of what a backed-up socket may hold.
				if (bytes >= bytesMax / 2 || this.#isBackedUp) break;
				if (!this.#due.delete(subscription)) continue;
				bytes += this.#deliverOne(subscription, bytesMax) + DELIVERY_OVERHEAD_BYTES;
			}
		});
		if (this.#connection.bufferedBytes() > 0) this.#backUp();
		else if (this.#due.size > 0) this.host.deliveries.enqueue(this);
		return bytes;
	}

	checkDrained(): void {
		if (this.#connection.bufferedBytes() === 0) this.drained();
	}

	due(subscription: Subscription): void {
		this.#due.add(subscription);
		if (!this.#isBackedUp) this.host.deliveries.enqueue(this);
	}

	ended(subscription: Subscription): void {
		this.#due.delete(subscription);
		const { sub } = subscription.target;
		if (this.subscriptions.get(sub) === subscription) this.subscriptions.delete(sub);
	}

	/** Looks at what only time brings about: a hello that is late, credentials that run out. */
	sweep(): void {
		const { clock, writer } = this.host;
		if (this.#state === "silent" || this.#state === "greeting") {
			if (clock.monotonicMs() - this.#openedMs < LIMITS.helloMsMax) return;
			this.close(CLOSE_CODES.HELLO_LATE, new MillraceError("NOT_AUTHENTICATED", "no hello came"));
			return;
		}
		this.#memberships?.sweep();
		const expiresMs = this.#authenticated?.expiresMs;
		if (expiresMs === undefined) return;
		const leftMs = expiresMs - clock.wallMs();
		if (leftMs <= 0) {
			const error = new MillraceError("NOT_AUTHENTICATED", "the credentials have run out");
			this.close(CLOSE_CODES.NOT_AUTHENTICATED, error);
		} else if (leftMs <= LIMITS.expiryNoticeMs && !this.#isExpiryTold) {
			this.#isExpiryTold = true;
			this.send(noticeFrame(writer, "auth_expiring", { auth_expires_ms: expiresMs }));
		}
	}

	// What handlers use.

	/**
	 * Runs what the loop calls and nobody catches. Requests report their failures themselves, so what
	 * `work` throws is a bug: it costs the connection, not the broker.
	 */
	guard(work: () => void): void {
		try {
			work();
		} catch (error) {
			this.host.log.error({ err: error, remote: this.#connection.remoteAddress }, "frame failed");
			this.close(CLOSE_CODES.MALFORMED, asMillraceError(error));
		}
	}

	/** Takes over an identity, once: hello is done. */
	greet(authenticated: Authenticated, producer: ProducerIdentity): void {
		this.#authenticated = authenticated;
		this.#producer = producer;
		if (this.#state === "greeting") this.#state = "serving";
	}

	/** Goes on with renewed credentials. */
	renew(authenticated: Authenticated): void {
		this.#authenticated = authenticated;
		this.#isExpiryTold = false;
	}

	/** Sends a frame; see Connection.send about the memory. */
	send(header: Uint8Array, body?: Uint8Array, release?: () => void): void {
		if (this.#state === "closed") {
			release?.();
			return;
		}
		if (this.#connection.send(header, body, release) === "buffered") this.#backUp();
	}

	answer(id: number, answer: AnswerMap): void {
		this.send(answerFrame(this.host.writer, id, answer));
	}

	fail(id: number, thrown: unknown): void {
		const error =
			thrown instanceof FrameError
				? new MillraceError("MALFORMED_FRAME", thrown.message)
				: asMillraceError(thrown);
		if (error.code === "UNKNOWN_SERVER_ERROR") {
			this.host.log.error({ err: error.cause ?? error }, "request failed");
		}
		this.send(errorFrame(this.host.writer, id, error));
	}

	notice(kind: NoticeKind, notice: AnswerMap): void {
		if (this.#state === "serving") this.send(noticeFrame(this.host.writer, kind, notice));
	}

	/** `id` (null: of nobody who waits) and, of produce, `bytes` are outstanding until `settle`. */
	await(id: number | null, bytes = 0): void {
		if (id !== null) this.#outstanding.add(id);
		this.#inFlightBytes += bytes;
	}

	/** What was outstanding is done; false when there is nobody left to answer. */
	settle(id: number | null, bytes = 0): boolean {
		if (id !== null) this.#outstanding.delete(id);
		this.#inFlightBytes -= bytes;
		return this.#state !== "closed";
	}

	/** Takes no more requests; those that are outstanding are still answered. */
	leave(reconnectAfterMs: number): void {
		this.notice("going_away", { reconnect_after_ms: reconnectAfterMs });
		if (this.#state === "serving") this.#state = "leaving";
	}

	/** A topic is gone: its subscriptions end. */
	topicDeleted(topic: LiveTopic): void {
		for (const subscription of [...this.subscriptions.values()]) {
			if (subscription.target.topic !== topic) continue;
			subscription.end(new MillraceError("TOPIC_DELETED", topic.current.name));
		}
	}

	/** Whether the client uses the topic by an alias or a subscription. */
	uses(topic: LiveTopic): boolean {
		if (this.aliases.has(topic)) return true;
		return [...this.subscriptions.values()].some(({ target }) => target.topic === topic);
	}

	/** Closes, with an error frame before it where there is one to tell. */
	close(reason: CloseEntry, error?: MillraceError): void {
		if (this.#state === "closed") return;
		if (error !== undefined) this.send(errorFrame(this.host.writer, null, error));
		this.#connection.close(reason, error?.code);
		this.#stopDelivering();
	}

	#dispatch(frame: Uint8Array): void {
		const reader = this.host.reader.reset(frame);
		let elements: number;
		let operation: number;
		try {
			elements = reader.frameHeader();
			operation = reader.integer();
		} catch (error) {
			this.#refuseFrame(error);
			return;
		}
		const isFirst = this.#state === "silent";
		if (isFirst ? operation !== OPERATION.hello : this.#state === "greeting") {
			this.#refuseFrame(
				new FrameError("hello comes first, and its answer before anything else", 0),
			);
		} else if (operation === OPERATION.credit) this.#credit(reader, elements);
		else this.#request(frame, operation, elements);
	}

	#credit(reader: FrameReader, elements: number): void {
		try {
			credit(this, new Fields(reader, elements - 1));
		} catch (error) {
			this.#refuseFrame(error);
		}
	}

	#request(frame: Uint8Array, operation: number, elements: number): void {
		const handler = REQUEST_HANDLERS.get(operation);
		const isKnown = handler !== undefined || operation === OPERATION.produce;
		let id: number;
		try {
			if (elements < 2) throw new FrameError("the id is missing", this.host.reader.position);
			id = this.host.reader.uint32();
		} catch (error) {
			if (isKnown) this.#refuseFrame(error);
			else this.#refuseOperation(null, operation);
			return;
		}
		const refusal = isKnown ? this.#refusal(id) : undefined;
		if (!isKnown) this.#refuseOperation(id, operation);
		else if (refusal !== undefined) this.fail(id, refusal);
		else if (handler === undefined) this.#produce(id, frame);
		else {
			if (operation === OPERATION.hello && this.#state === "silent") this.#state = "greeting";
			this.#answerWith(id, () => handler(this, new Fields(this.host.reader, elements - 2)));
		}
	}

	#produce(id: number, frame: Uint8Array): void {
		if (this.#inFlightBytes > 2 * LIMITS.inFlightBytesMax) {
			this.close(
				CLOSE_CODES.OVER_LIMIT,
				new MillraceError("LIMIT_EXCEEDED", "in_flight_bytes_max"),
			);
			return;
		}
		try {
			produce(this, id, frame);
		} catch (error) {
			this.fail(id, error);
		}
	}

	#refusal(id: number): MillraceError | undefined {
		if (this.#outstanding.has(id)) return new MillraceError("DUPLICATE_ID", `${id}`);
		if (this.#outstanding.size >= LIMITS.inFlightRequestsMax) {
			return new MillraceError("LIMIT_EXCEEDED", "in_flight_requests_max");
		}
		return this.#state === "leaving" ? new MillraceError("SHUTTING_DOWN") : undefined;
	}

	#answerWith(id: number, handle: () => AnswerMap | Promise<AnswerMap>): void {
		let answer: AnswerMap | Promise<AnswerMap>;
		try {
			answer = handle();
		} catch (error) {
			this.fail(id, error);
			this.#closeUnlessGreeted(error);
			return;
		}
		if (!(answer instanceof Promise)) {
			this.answer(id, answer);
			return;
		}
		this.await(id);
		answer.then(
			(settled) => {
				if (this.settle(id)) this.guard(() => this.answer(id, settled));
			},
			(error: unknown) => {
				if (!this.settle(id)) return;
				this.guard(() => {
					this.fail(id, error);
					this.#closeUnlessGreeted(error);
				});
			},
		);
	}

	/** A hello that failed leaves nothing to go on with. */
	#closeUnlessGreeted(error: unknown): void {
		if (this.#state !== "greeting") return;
		const isRefused = asMillraceError(error).code === "NOT_AUTHENTICATED";
		this.close(isRefused ? CLOSE_CODES.NOT_AUTHENTICATED : CLOSE_CODES.MALFORMED);
	}

	#refuseFrame(error: unknown): void {
		if (!(error instanceof FrameError)) throw error;
		this.close(CLOSE_CODES.MALFORMED, new MillraceError("MALFORMED_FRAME", error.message));
	}

	#refuseOperation(id: number | null, operation: number): void {
		const error = new MillraceError("UNSUPPORTED_OPERATION", `${operation}`);
		this.send(errorFrame(this.host.writer, id, error));
	}

	#deliverOne(subscription: Subscription, bytesMax: number): number {
		try {
			return subscription.deliver(bytesMax);
		} catch (error) {
			this.host.log.error({ err: error, sub: subscription.target.sub }, "delivery failed");
			subscription.end(asMillraceError(error));
			return 0;
		}
	}

	#stopDelivering(): void {
		this.host.deliveries.remove(this);
		for (const subscription of this.subscriptions.values()) subscription.stop();
		this.subscriptions.clear();
		this.#due.clear();
	}

	#backUp(): void {
		if (!this.#isBackedUp && this.#state !== "closed") {
			this.#isBackedUp = true;
			this.host.deliveries.backUp(this);
		}
		if (this.#connection.bufferedBytes() <= LIMITS.sendBufferBytesMax) return;
		this.host.log.warn({ remote: this.#connection.remoteAddress }, "answers are not read");
		this.close(CLOSE_CODES.OVER_LIMIT);
	}
}
