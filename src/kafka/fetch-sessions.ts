/**
 * Fetch sessions (KIP-227): the broker remembers which partitions a client reads, so that the
 * client names only what changes and is told only what changed.
 */
import type { Clock } from "../clock.ts";
import { MillraceError } from "../errors.ts";
import { LIMITS } from "../limits.ts";
import type { CodeName } from "../protocol/codes.ts";

/** The session id of "none", and the epochs that open one or close it. */
export const SESSION_NONE = 0;
const EPOCH_INITIAL = 0;
const EPOCH_FINAL = -1;
const INT32_MAX = 2_147_483_647;

/** A partition that a client reads. */
export interface FetchTarget {
	/** How the client names the topic: by name, or by id from version 13 on. */
	readonly topic: string;
	readonly partition: number;
	offset: number;
	/** Bytes that the client wants of this partition at most. */
	bytesMax: number;
	/** The leader epoch that the client believes in; -1: it does not say. */
	leaderEpoch: number;
}

/** A target of a session, with what the client was told last. */
interface SessionTarget extends FetchTarget {
	highWatermark: number;
	logStart: number;
}

/** What a request wants of sessions. */
export interface FetchSessionRequest {
	readonly sessionId: number;
	readonly sessionEpoch: number;
	readonly usesTopicIds: boolean;
	readonly targets: readonly FetchTarget[];
	readonly forgotten: readonly { readonly topic: string; readonly partition: number }[];
}

/** What is known of a partition after it was read. */
export interface FetchOutcome {
	readonly code: number;
	readonly highWatermark: number;
	readonly logStart: number;
	readonly bytes: number;
}

/** One fetch, with or without a session behind it. */
export interface FetchContext {
	/** What to read, in the order in which partitions are served. */
	readonly targets: readonly FetchTarget[];
	/** To be answered; 0 where there is no session. */
	readonly sessionId: number;
	/** Whether the client has to be told of a partition's outcome; notes what it is told. */
	tells(target: FetchTarget, outcome: FetchOutcome): boolean;
}

interface FetchSession {
	readonly id: number;
	readonly usesTopicIds: boolean;
	/**
	 * In the order in which they are served: what had data goes to the end, so that all get turns.
	 */
	readonly targets: Map<string, SessionTarget>;
	epoch: number;
	lastUsedMs: number;
}

const keyOf = (target: { readonly topic: string; readonly partition: number }) =>
	`${target.topic}/${target.partition}`;

export class FetchSessions {
	readonly #clock: Clock;
	readonly #sessionsMax: number;
	/** In the order of last use. */
	readonly #sessions = new Map<number, FetchSession>();
	#targetCount = 0;

	constructor(clock: Clock, sessionsMax: number = LIMITS.fetchSessionsMax) {
		this.#clock = clock;
		this.#sessionsMax = sessionsMax;
	}

	/** Sessions that are open. */
	get count(): number {
		return this.#sessions.size;
	}

	/**
	 * The fetch that a request asks for. Throws FETCH_SESSION_ID_NOT_FOUND,
	 * INVALID_FETCH_SESSION_EPOCH or FETCH_SESSION_TOPIC_ID_ERROR.
	 */
	open(request: FetchSessionRequest): FetchContext {
		const { sessionId, sessionEpoch, targets } = request;
		if (sessionEpoch === EPOCH_INITIAL || sessionEpoch === EPOCH_FINAL) {
			if (sessionId !== SESSION_NONE) this.#remove(sessionId);
			if (sessionEpoch === EPOCH_FINAL) return withoutSession(targets);
			const session = this.#create(request);
			return session === undefined ? withoutSession(targets) : firstOf(session);
		}
		const session = this.#existing(request);
		this.#update(session, request);
		if (session.targets.size === 0) {
			this.#remove(session.id);
			return withoutSession([]);
		}
		session.epoch = session.epoch === INT32_MAX ? 1 : session.epoch + 1;
		return incrementOf(session);
	}

	#existing({ sessionId, sessionEpoch, usesTopicIds }: FetchSessionRequest): FetchSession {
		const session = this.#sessions.get(sessionId);
		if (session === undefined) throw failure("FETCH_SESSION_ID_NOT_FOUND", sessionId);
		if (session.epoch !== sessionEpoch) throw failure("INVALID_FETCH_SESSION_EPOCH", sessionId);
		if (session.usesTopicIds !== usesTopicIds) {
			throw failure("FETCH_SESSION_TOPIC_ID_ERROR", sessionId);
		}
		this.#sessions.delete(sessionId);
		this.#sessions.set(sessionId, session);
		session.lastUsedMs = this.#clock.monotonicMs();
		return session;
	}

	#create({ targets, usesTopicIds }: FetchSessionRequest): FetchSession | undefined {
		if (targets.length === 0 || !this.#makeRoom(targets.length)) return undefined;
		const session: FetchSession = {
			id: this.#newId(),
			usesTopicIds,
			targets: new Map(),
			epoch: 1,
			lastUsedMs: this.#clock.monotonicMs(),
		};
		this.#sessions.set(session.id, session);
		this.#put(session, targets);
		return session;
	}

	#update(session: FetchSession, { targets, forgotten }: FetchSessionRequest): void {
		for (const target of forgotten) {
			if (session.targets.delete(keyOf(target))) this.#targetCount--;
		}
		if (this.#targetCount + targets.length > LIMITS.fetchSessionPartitionsMax) {
			// The client opens another session, which it gets when there is room for it.
			this.#remove(session.id);
			throw failure("FETCH_SESSION_ID_NOT_FOUND", session.id);
		}
		this.#put(session, targets);
	}

	#put(session: FetchSession, targets: readonly FetchTarget[]): void {
		for (const target of targets) {
			const known = session.targets.get(keyOf(target));
			if (known === undefined) {
				session.targets.set(keyOf(target), { ...target, highWatermark: -1, logStart: -1 });
				this.#targetCount++;
			} else {
				known.offset = target.offset;
				known.bytesMax = target.bytesMax;
				known.leaderEpoch = target.leaderEpoch;
			}
		}
	}

	/**
	 * Whether a session of so many partitions may open; one that is long unused makes room for it.
	 */
	#makeRoom(targetCount: number): boolean {
		const fits = () =>
			this.#sessions.size < this.#sessionsMax &&
			this.#targetCount + targetCount <= LIMITS.fetchSessionPartitionsMax;
		const unusedSinceMs = this.#clock.monotonicMs() - LIMITS.fetchSessionUnusedMsMax;
		for (const session of this.#sessions.values()) {
			if (fits() || session.lastUsedMs > unusedSinceMs) break;
			this.#remove(session.id);
		}
		return fits();
	}

	#remove(sessionId: number): void {
		const session = this.#sessions.get(sessionId);
		if (session === undefined) return;
		this.#sessions.delete(sessionId);
		this.#targetCount -= session.targets.size;
	}

	/** Random, so that a client of a broker before does not meet somebody else's session. */
	#newId(): number {
		for (;;) {
			const id = 1 + Math.floor(Math.random() * INT32_MAX);
			if (id <= INT32_MAX && !this.#sessions.has(id)) return id;
		}
	}
}

function failure(code: CodeName, sessionId: number): MillraceError {
	return new MillraceError(code, `fetch session ${sessionId}`);
}

function withoutSession(targets: readonly FetchTarget[]): FetchContext {
	return { targets, sessionId: SESSION_NONE, tells: () => true };
}

/** The answer to the request that opens a session tells of every partition. */
function firstOf(session: FetchSession): FetchContext {
	return {
		targets: [...session.targets.values()],
		sessionId: session.id,
		tells(target, outcome) {
			note(session, target, outcome);
			return true;
		},
	};
}

function incrementOf(session: FetchSession): FetchContext {
	return {
		targets: [...session.targets.values()],
		sessionId: session.id,
		tells: (target, outcome) => note(session, target, outcome),
	};
}

/** Notes what the client is told; whether that is news. */
function note(session: FetchSession, target: FetchTarget, outcome: FetchOutcome): boolean {
	const known = session.targets.get(keyOf(target));
	if (known === undefined) return true;
	const { code, highWatermark, logStart, bytes } = outcome;
	const isNews =
		code !== 0 || bytes > 0 || known.highWatermark !== highWatermark || known.logStart !== logStart;
	// After an error the next answer tells of the partition again, whatever it is.
	known.highWatermark = code === 0 ? highWatermark : -1;
	known.logStart = code === 0 ? logStart : -1;
	if (bytes > 0) {
		session.targets.delete(keyOf(target));
		session.targets.set(keyOf(target), known);
	}
	return isNews;
}
