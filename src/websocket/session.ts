/**
 * One connection: hello, requests and their answers, limits, and turns of its subscriptions. What a
 * client does wrong ends its own connection at most.
 */

import { mayUse, mayUseTopic } from "../calls/access.ts";
import { auditRefusal } from "../calls/audited.ts";
import type { AnswerMap } from "../calls/caller.ts";
import { asMillraceError, MillraceError } from "../errors.ts";
import { LIMITS } from "../limits.ts";
import { ClientWatch, type WatchedClient } from "../monitoring/client-watch.ts";
import { CLOSE_CODES, type CloseEntry } from "../protocol/close-codes.ts";
import type { ProducerIdentity } from "../protocol/frames.ts";
import { type NoticeKind, OPERATION } from "../protocol/operations.ts";
import { type DecodedMap, FrameError, type FrameReader } from "../protocol/reader.ts";
import { ACL_OPERATION } from "../security/acl.ts";
import { ANONYMOUS, Peer } from "../security/principal.ts";
import type { SaslIdentity } from "../security/sasl/mechanism.ts";
import type { LiveTopic } from "../topics/live-topics.ts";
import { closeOfRefused } from "./credentials.ts";
import { DELIVERY_OVERHEAD_BYTES, type DeliveringSession } from "./deliveries.ts";
import { Fields } from "./fields.ts";
import { credit } from "./handlers/credit.ts";
import { produce } from "./handlers/produce.ts";
import { REQUEST_HANDLERS } from "./handlers/table.ts";
import { Memberships } from "./memberships.ts";
import { answerFrame, errorFrame, noticeFrame } from "./outgoing.ts";
import type { AuthenticationContext, SessionHost } from "./session-host.ts";
import type { Subscription, SubscriptionOwner } from "./subscription.ts";
import { Subscriptions } from "./subscriptions.ts";
import { Throttling } from "./throttling.ts";
import { TopicAliases } from "./topic-aliases.ts";
import type { Connection, ConnectionHandler } from "./transport.ts";

/** "greeting": hello came and is being answered. */
type State = "silent" | "greeting" | "serving" | "leaving" | "closed";

/**
 * A hello in bytes: with a name and a password as long as they may be, and as much for the rest.
 * What anybody sends is not to be built that may be as long as a frame.
 */
const HELLO_BYTES_MAX = 4 * LIMITS.credentialBytesMax;

/** Nobody has said hello yet. */
const NO_PRODUCER: ProducerIdentity = { id: -1, epoch: -1 };

export class Session
	implements ConnectionHandler, DeliveringSession, SubscriptionOwner, WatchedClient
{
	readonly host: SessionHost;
	readonly protocol = "websocket";
	/** Tells this connection from the others of its loop. */
	readonly id: number;
	readonly openedMs: number;
	/** Who asks. */
	readonly peer: Peer;
	readonly #connection: Connection;
	readonly #onClosed: (session: Session) => void;
	/** What the client calls itself, once it has said hello. */
	clientName = "";
	#state: State = "silent";
	#inFlightBytes = 0;
	/** Since when its socket takes no more. */
	#backedUpMs: number | undefined;
	#producer = NO_PRODUCER;
	#isRenewing = false;
	/** When the client is told to renew its credentials, in milliseconds since 1970. */
	#noticeMs = Infinity;
	/** Of the access rules that what is under way was checked against last. */
	#accessEpoch: number;
	// Made when first needed: most of many connections have only some of these.
	/** Ids of requests that are answered on a later turn; gone with the last of them. */
	#outstanding: Set<number> | undefined;
	#aliases: TopicAliases | undefined;
	#subscriptions: Subscriptions | undefined;
	#memberships: Memberships | undefined;
	/** Of a login that is under way: aborted when the client leaves. */
	#leaving: AbortController | undefined;
	/** Undefined while there have been no quotas. */
	#throttling: Throttling | undefined;
	#watch: ClientWatch | null = null;

	constructor(host: SessionHost, connection: Connection, onClosed: (session: Session) => void) {
		this.host = host;
		this.id = host.storage.nextConnection();
		this.peer = new Peer(connection.remoteAddress, host.authorizer);
		if (connection.principal !== ANONYMOUS) this.peer.become(connection.principal);
		this.#connection = connection;
		this.#accessEpoch = host.authorizer.epoch;
		this.#onClosed = onClosed;
		this.openedMs = host.clock.monotonicMs();
	}

	get principal(): string {
		return this.peer.principal;
	}

	/** Null: it was never seen to be slow or behind. */
	get watch(): ClientWatch | null {
		return this.#watch;
	}

	/** For people; see Connection. */
	get remoteAddress(): string {
		return this.#connection.remoteAddress;
	}

	get aliases(): TopicAliases {
		this.#aliases ??= new TopicAliases(this.host.topics);
		return this.#aliases;
	}

	get subscriptions(): Subscriptions {
		this.#subscriptions ??= new Subscriptions();
		return this.#subscriptions;
	}

	/** Subscriptions that it has. */
	get subscriptionCount(): number {
		return this.#subscriptions?.size ?? 0;
	}

	/** Bytes that the client has not read yet. */
	get bufferedBytes(): number {
		return this.#connection.bufferedBytes();
	}

	get memberships(): Memberships {
		this.#memberships ??= new Memberships(this.host, this);
		return this.#memberships;
	}

	/** The token of a cookie that came with the request for the WebSocket; once. */
	takeCookieToken(): string | undefined {
		return this.#connection.takeCookieToken();
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
		return this.#outstanding !== undefined;
	}

	// What the transport tells.

	message(frame: Uint8Array): void {
		this.guard(() => this.#dispatch(frame));
	}

	drained(): void {
		if (this.#backedUpMs === undefined) return;
		this.#backedUpMs = undefined;
		this.host.deliveries.drained(this);
		this.#enqueueIfDue();
	}

	closed(code: number): void {
		if (this.#state === "closed") return;
		// Members of a broker that stops stay in their groups: they are back when it is.
		this.#memberships?.close(this.#state !== "leaving");
		this.#state = "closed";
		this.#leaving?.abort();
		this.#throttling?.close();
		this.#stopDelivering();
		const { id: connectionId, remoteAddress } = this;
		this.host.log.debug({ connectionId, remoteAddress, code }, "connection closed");
		this.#onClosed(this);
	}

	// Turns.

	deliver(bytesMax: number): number {
		if (this.#backedUpMs !== undefined || this.#isDeliveryPaused) return 0;
		if (this.#state === "closed") return 0;
		let bytes = 0;
		let deliveredBytes = 0;
		this.#connection.cork(() => {
			for (const subscription of this.subscriptions.turns()) {
				const delivered = this.#deliverOne(subscription, bytesMax);
				deliveredBytes += delivered;
				bytes += delivered + DELIVERY_OVERHEAD_BYTES;
				// Half: two whole deliveries would be twice of what a backed-up socket may hold.
				if (bytes >= bytesMax / 2 || this.#backedUpMs !== undefined) break;
			}
		});
		if (deliveredBytes > 0 && this.host.quotas.isAny) this.#throttled.delivered(deliveredBytes);
		if (this.#connection.bufferedBytes() > 0) this.#backUp();
		else this.#enqueueIfDue();
		return bytes;
	}

	checkDrained(): void {
		if (this.#connection.bufferedBytes() === 0) this.drained();
	}

	due(subscription: Subscription): void {
		this.subscriptions.markDue(subscription);
		if (this.#backedUpMs === undefined && !this.#isDeliveryPaused) {
			this.host.deliveries.enqueue(this);
		}
	}

	ended(subscription: Subscription): void {
		this.subscriptions.remove(subscription);
	}

	/** Looks at what only time brings about: a hello that is late, credentials that run out. */
	sweep(): void {
		const { clock, writer } = this.host;
		if (this.#state === "silent" || this.#state === "greeting") {
			// Who was refused often is told late, and a service that knows about tokens may be slow.
			const msMax = this.#state === "silent" ? LIMITS.helloMsMax : LIMITS.saslMsMax;
			if (clock.monotonicMs() - this.openedMs < msMax) return;
			this.close(CLOSE_CODES.HELLO_LATE, new MillraceError("NOT_AUTHENTICATED", "no hello came"));
			return;
		}
		this.#memberships?.sweep();
		if (this.#accessEpoch !== this.host.authorizer.epoch) this.#checkAccess();
		const { expiresMs } = this.peer;
		if (expiresMs === undefined) return;
		const nowMs = clock.wallMs();
		if (nowMs >= expiresMs) {
			const error = new MillraceError("NOT_AUTHENTICATED", "the credentials have run out");
			this.close(CLOSE_CODES.NOT_AUTHENTICATED, error);
		} else if (nowMs >= this.#noticeMs) {
			this.#noticeMs = Infinity;
			this.send(noticeFrame(writer, "auth_expiring", { auth_expires_ms: expiresMs }));
		}
	}

	/** Looks how far the client is behind, and what it is waited for. */
	look(): void {
		let lagRecords = 0;
		let unaskedSinceMs: number | undefined;
		for (const subscription of this.#subscriptions?.unfinished() ?? []) {
			const lag = subscription.lagRecords();
			lagRecords += lag;
			const idleMs = lag > 0 ? subscription.idleSinceMs : undefined;
			unaskedSinceMs = Math.min(unaskedSinceMs ?? Infinity, idleMs ?? Infinity);
		}
		const unreadSinceMs = this.#backedUpMs;
		// Most clients have everything at any time: they need none.
		if (lagRecords === 0 && unreadSinceMs === undefined && this.#watch === null) return;
		this.#watch ??= new ClientWatch();
		if (unaskedSinceMs === Infinity) unaskedSinceMs = undefined;
		const nowMs = this.host.clock.monotonicMs();
		this.#watch.look(nowMs, { unreadSinceMs, unaskedSinceMs, lagRecords });
	}

	/** Ends what the client may no longer do. */
	#checkAccess(): void {
		this.#accessEpoch = this.host.authorizer.epoch;
		for (const subscription of this.#subscriptions?.all() ?? []) {
			const { name } = subscription.target.topic.current;
			if (mayUseTopic(this, OPERATION.subscribe, name)) continue;
			subscription.end(new MillraceError("TOPIC_AUTHORIZATION_FAILED", name));
		}
		const { read } = ACL_OPERATION;
		this.#memberships?.refuse((groupId) => mayUse(this, "group", read, groupId));
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
			this.host.log.error(
				{ err: error, remoteAddress: this.#connection.remoteAddress },
				"frame failed",
			);
			this.close(CLOSE_CODES.MALFORMED, asMillraceError(error));
		}
	}

	/**
	 * Finds out who the client is, while it is there; see Authenticate. Once at a time: `greet` or
	 * `endRenewal` follows, unless hello failed.
	 */
	authenticate(
		credentials: DecodedMap | undefined,
		{ stays, cookieToken }: Omit<AuthenticationContext, "left">,
	): SaslIdentity | Promise<SaslIdentity> {
		const left = () => {
			this.#leaving ??= new AbortController();
			return this.#leaving.signal;
		};
		return this.host.authenticate(credentials, this.peer, { stays, cookieToken, left });
	}

	/** Takes over an identity, once: hello is done. */
	greet(authenticated: SaslIdentity, producer: ProducerIdentity): void {
		this.#leaving = undefined;
		this.#believe(authenticated);
		this.#producer = producer;
		if (this.#state === "greeting") this.#state = "serving";
		const { id: connectionId, remoteAddress, clientName } = this;
		const { principal } = authenticated;
		this.host.log.debug({ connectionId, remoteAddress, clientName, principal }, "hello");
	}

	/** Throws INVALID_REQUEST while credentials are being renewed already. */
	beginRenewal(): void {
		if (this.#isRenewing) {
			throw new MillraceError("INVALID_REQUEST", "credentials are being renewed already");
		}
		this.#isRenewing = true;
	}

	endRenewal(): void {
		this.#isRenewing = false;
		this.#leaving = undefined;
	}

	/** Goes on with renewed credentials. */
	renew(authenticated: SaslIdentity): void {
		this.#believe(authenticated);
		this.#checkAccess();
	}

	#believe(authenticated: SaslIdentity): void {
		const { principal, expiresMs } = authenticated;
		this.peer.become(principal, expiresMs);
		if (expiresMs === undefined) return;
		const leftMs = expiresMs - this.host.clock.wallMs();
		// Of a short life the last third: who renews at once would be told again at once.
		this.#noticeMs = expiresMs - Math.min(LIMITS.expiryNoticeMs, leftMs / 3);
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
		const error = requestError(thrown);
		if (error.code === "UNKNOWN_SERVER_ERROR") {
			this.host.log.error({ err: error.cause ?? error }, "request failed");
		}
		this.send(errorFrame(this.host.writer, id, error));
	}

	/** Counts a request that is answered now, with the error that is the answer. */
	count(operation: number, startedMs: number, thrown?: unknown): void {
		const { clock, requests } = this.host;
		requests.answered(operation, clock.monotonicMs() - startedMs);
		if (thrown === undefined) return;
		const { number } = requestError(thrown);
		requests.failed(operation, number);
		// Calls are noted by what they are called.
		if (operation !== OPERATION.call) auditRefusal(this, operation, number);
	}

	notice(kind: NoticeKind, notice: AnswerMap): void {
		if (this.#state === "serving") this.send(noticeFrame(this.host.writer, kind, notice));
	}

	/** `id` (null: of nobody who waits) and, of produce, `bytes` are outstanding until `settle`. */
	await(id: number | null, bytes = 0): void {
		if (id !== null) {
			this.#outstanding ??= new Set();
			this.#outstanding.add(id);
		}
		this.#inFlightBytes += bytes;
	}

	/** Does it when the client need not wait any more because of a quota. */
	whenNotThrottled(work: () => void): void {
		if (this.#throttling === undefined) work();
		else this.#throttling.whenOver(() => this.guard(work));
	}

	/** What was outstanding is done; false when there is nobody left to answer. */
	settle(id: number | null, bytes = 0): boolean {
		if (id !== null && this.#outstanding?.delete(id) && this.#outstanding.size === 0) {
			this.#outstanding = undefined;
		}
		this.#inFlightBytes -= bytes;
		return this.#state !== "closed";
	}

	/** Takes no more requests and delivers no more; what is outstanding is still answered. */
	leave(reconnectAfterMs: number): void {
		this.notice("going_away", { reconnect_after_ms: reconnectAfterMs });
		if (this.#state === "serving") this.#state = "leaving";
		// What is done is to be answered before the connection ends.
		this.#throttling?.close();
	}

	/** Resolves when the client has read all that was sent until now, or is gone. Asked once. */
	taken(): Promise<void> {
		return this.#connection.taken();
	}

	/** A topic is gone: its subscriptions end. */
	topicDeleted(topic: LiveTopic): void {
		for (const subscription of this.#subscriptions?.of(topic) ?? []) {
			subscription.end(new MillraceError("TOPIC_DELETED", topic.current.name));
		}
	}

	/** Whether the client uses the topic by an alias or a subscription. */
	uses(topic: LiveTopic): boolean {
		if (this.#aliases?.has(topic)) return true;
		return this.#subscriptions !== undefined && this.#subscriptions.of(topic).length > 0;
	}

	/** Closes, with an error frame before it where there is one to tell. */
	close(reason: CloseEntry, error?: MillraceError): void {
		if (this.#state === "closed") return;
		if (error !== undefined) this.send(errorFrame(this.host.writer, null, error));
		this.#connection.close(reason, error?.code);
		this.#stopDelivering();
	}

	/** Ends the connection as a network does that fails: nobody is told anything. */
	drop(): void {
		this.#connection.terminate();
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
		} else if (isFirst && frame.length > HELLO_BYTES_MAX) this.close(CLOSE_CODES.TOO_BIG);
		else if (operation === OPERATION.credit) this.#credit(reader, elements);
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
		const { id: connectionId } = this;
		this.host.log.trace({ connectionId, operation, id }, "request");
		const refusal = isKnown ? this.#refusal(id) : undefined;
		if (!isKnown) this.#refuseOperation(id, operation);
		else if (refusal !== undefined) this.fail(id, refusal);
		else if (handler === undefined) this.#produce(id, frame);
		else if (!this.#mayAsk(id, operation, frame.length)) return;
		else {
			if (operation === OPERATION.hello && this.#state === "silent") this.#state = "greeting";
			const handle = () => handler(this, new Fields(this.host.reader, elements - 2));
			this.#answerWith(id, operation, handle);
		}
	}

	#produce(id: number, frame: Uint8Array): void {
		if (this.#inFlightBytes > 2 * LIMITS.inFlightBytesMax) {
			this.close(
				this.#throttling?.isRequestPaused ? CLOSE_CODES.QUOTA : CLOSE_CODES.OVER_LIMIT,
				new MillraceError("LIMIT_EXCEEDED", "in_flight_bytes_max"),
			);
			return;
		}
		const { clock, quotas } = this.host;
		const startedMs = clock.monotonicMs();
		try {
			const { produce: operation } = OPERATION;
			const isLate = quotas.isAny && this.#throttled.request(operation, frame.length);
			produce(this, id, frame, startedMs, isLate);
		} catch (error) {
			this.count(OPERATION.produce, startedMs, error);
			this.fail(id, error);
		}
	}

	/** Counts a request against quotas; false: it is refused. */
	#mayAsk(id: number, operation: number, bytes: number): boolean {
		if (!this.host.quotas.isAny || !this.isGreeted) return true;
		try {
			this.#throttled.request(operation, bytes);
			return true;
		} catch (error) {
			this.count(operation, this.host.clock.monotonicMs(), error);
			this.fail(id, error);
			return false;
		}
	}

	get #throttled(): Throttling {
		this.#throttling ??= new Throttling(this, () => this.#enqueueIfDue());
		return this.#throttling;
	}

	get #isDeliveryPaused(): boolean {
		// Before a stop the client is to take what is on its way, which would never end else.
		return this.#state === "leaving" || this.#throttling?.isDeliveryPaused === true;
	}

	#refusal(id: number): MillraceError | undefined {
		if (this.#outstanding?.has(id)) return new MillraceError("DUPLICATE_ID", `${id}`);
		if ((this.#outstanding?.size ?? 0) >= LIMITS.inFlightRequestsMax) {
			return new MillraceError("LIMIT_EXCEEDED", "in_flight_requests_max");
		}
		return this.#state === "leaving" ? new MillraceError("SHUTTING_DOWN") : undefined;
	}

	#answerWith(id: number, operation: number, handle: () => AnswerMap | Promise<AnswerMap>): void {
		const startedMs = this.host.clock.monotonicMs();
		let answer: AnswerMap | Promise<AnswerMap>;
		try {
			answer = handle();
		} catch (error) {
			this.count(operation, startedMs, error);
			this.fail(id, error);
			this.#closeUnlessGreeted(error);
			return;
		}
		if (!(answer instanceof Promise)) {
			this.count(operation, startedMs);
			this.answer(id, answer);
			return;
		}
		this.await(id);
		answer.then(
			(settled) => {
				this.count(operation, startedMs);
				if (this.settle(id)) this.guard(() => this.answer(id, settled));
			},
			(error: unknown) => {
				this.count(operation, startedMs, error);
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
		if (this.#state === "greeting") this.close(closeOfRefused(error, CLOSE_CODES.MALFORMED));
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
		this.#subscriptions?.stop();
	}

	#enqueueIfDue(): void {
		if (this.#backedUpMs !== undefined || this.#isDeliveryPaused) return;
		if (this.#subscriptions?.isAnyDue) this.host.deliveries.enqueue(this);
	}

	#backUp(): void {
		if (this.#backedUpMs === undefined && this.#state !== "closed") {
			this.#backedUpMs = this.host.clock.monotonicMs();
			this.host.deliveries.backUp(this);
		}
		if (this.#connection.bufferedBytes() <= LIMITS.sendBufferBytesMax) return;
		this.host.log.warn({ remoteAddress: this.#connection.remoteAddress }, "answers are not read");
		this.close(CLOSE_CODES.OVER_LIMIT);
	}
}

/** What a client is told of what a handler threw. */
function requestError(thrown: unknown): MillraceError {
	return thrown instanceof FrameError
		? new MillraceError("MALFORMED_FRAME", thrown.message)
		: asMillraceError(thrown);
}
