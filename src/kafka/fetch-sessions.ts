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
	readonly key: string;
	highWatermark: number;
	logStart: number;
}

type PartitionName = Pick<FetchTarget, "topic" | "partition">;

/** What a request wants of sessions. */
export interface FetchSessionRequest {
	readonly sessionId: number;
	readonly sessionEpoch: number;
	readonly usesTopicIds: boolean;
	readonly targets: readonly FetchTarget[];
	/** Partitions that are no longer to be remembered, even where they are among `targets`. */
	readonly forgotten: readonly PartitionName[];
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
	/**
	 * Whether the client has to be told of the outcome for the target at `index`; notes what it is
	 * told.
	 */
	tells(index: number, outcome: FetchOutcome): boolean;
}

interface FetchSession {
	readonly id: number;
	readonly usesTopicIds: boolean;
	/**
	 * In the order in which they are served: what had data goes to the end, so that all get turns.
	 */
	readonly targets: Map<string, SessionTarget>;
	/** Of all targets. */
	cost: number;
	epoch: number;
	lastUsedMs: number;
}

/**
 * The partition's number ends it, so whatever clients call topics, two partitions never share one.
 */
const keyOf = ({ topic, partition }: PartitionName) => `${topic}/${partition}`;

/** What of the bound a partition takes: names that no topic has may be long, and are remembered. */
const costOf = ({ topic }: PartitionName) =>
	Math.max(1, Math.ceil(topic.length / LIMITS.topicNameCharactersMax));

/** What partitions take, each once, that are not known yet. */
function costOfNew(
	targets: readonly FetchTarget[],
	known: ReadonlyMap<string, FetchTarget>,
): number {
	const costs = new Map<string, number>();
	for (const target of targets) {
		const key = keyOf(target);
		if (!known.has(key)) costs.set(key, costOf(target));
	}
	return [...costs.values()].reduce((sum, cost) => sum + cost, 0);
}

export class FetchSessions {
	readonly #clock: Clock;
	readonly #sessionsMax: number;
	readonly #costMax: number;
	/** In the order of last use. */
	readonly #sessions = new Map<number, FetchSession>();
	/** Of all sessions: partitions, where their topics' names are not longer than names can be. */
	#cost = 0;

	/** As many sessions are remembered, and partitions of all of them together. */
	constructor(
		clock: Clock,
		sessionsMax: number = LIMITS.fetchSessionsMax,
		partitionsMax: number = LIMITS.fetchSessionPartitionsMax,
	) {
		this.#clock = clock;
		this.#sessionsMax = sessionsMax;
		this.#costMax = partitionsMax;
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
		if (!this.#makeRoom(costOfNew(targets, new Map()))) return undefined;
		const session: FetchSession = {
			id: this.#newId(),
			usesTopicIds,
			targets: new Map(),
			cost: 0,
			epoch: 1,
			lastUsedMs: this.#clock.monotonicMs(),
		};
		this.#sessions.set(session.id, session);
		for (const target of targets) this.#put(session, target);
		return session;
	}

	#update(session: FetchSession, { targets, forgotten }: FetchSessionRequest): void {
		const forgottenKeys = new Set(forgotten.map(keyOf));
		for (const key of forgottenKeys) this.#forget(session, key);
		const kept = targets.filter((target) => !forgottenKeys.has(keyOf(target)));
		if (this.#cost + costOfNew(kept, session.targets) > this.#costMax) {
			// The client opens another session, which it gets when there is room for it.
			this.#remove(session.id);
			throw failure("FETCH_SESSION_ID_NOT_FOUND", session.id);
		}
		for (const target of kept) this.#put(session, target);
	}

	#put(session: FetchSession, target: FetchTarget): void {
		const key = keyOf(target);
		const known = session.targets.get(key);
		if (known === undefined) {
			session.targets.set(key, { ...target, key, highWatermark: -1, logStart: -1 });
			this.#addCost(session, costOf(target));
		} else {
			known.offset = target.offset;
			known.bytesMax = target.bytesMax;
			known.leaderEpoch = target.leaderEpoch;
		}
	}

	#forget(session: FetchSession, key: string): void {
		const target = session.targets.get(key);
		if (target === undefined) return;
		session.targets.delete(key);
		this.#addCost(session, -costOf(target));
	}

	#addCost(session: FetchSession, cost: number): void {
		session.cost += cost;
		this.#cost += cost;
	}

	/** Whether a session of that cost may open; ones that are long unused make room for it. */
	#makeRoom(cost: number): boolean {
		const fits = () =>
			this.#sessions.size < this.#sessionsMax && this.#cost + cost <= this.#costMax;
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
		this.#cost -= session.cost;
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

/** Of a partition that is named twice the last counts, as in Kafka and in sessions. */
function withoutSession(targets: readonly FetchTarget[]): FetchContext {
	const distinct = new Map(targets.map((target) => [keyOf(target), target]));
	return { targets: [...distinct.values()], sessionId: SESSION_NONE, tells: () => true };
}

/** The answer to the request that opens a session tells of every partition. */
function firstOf(session: FetchSession): FetchContext {
	const context = incrementOf(session);
	return {
		...context,
		tells(index, outcome) {
			context.tells(index, outcome);
			return true;
		},
	};
}

function incrementOf(session: FetchSession): FetchContext {
	const targets = [...session.targets.values()];
	return {
		targets,
		sessionId: session.id,
		tells: (index, outcome) => note(session, targets[index] as SessionTarget, outcome),
	};
}

/** Notes what the client is told; whether that is news. */
function note({ targets }: FetchSession, target: SessionTarget, outcome: FetchOutcome): boolean {
	const { code, highWatermark, logStart, bytes } = outcome;
	const isNews =
		code !== 0 ||
		bytes > 0 ||
		target.highWatermark !== highWatermark ||
		target.logStart !== logStart;
	// After an error the next answer tells of the partition again, whatever it is.
	target.highWatermark = code === 0 ? highWatermark : -1;
	target.logStart = code === 0 ? logStart : -1;
	// Unless a later request has forgotten it.
	if (bytes > 0 && targets.delete(target.key)) targets.set(target.key, target);
	return isNews;
}
