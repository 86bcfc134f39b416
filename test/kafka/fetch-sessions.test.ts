/** Fetch sessions (KIP-227), as Apache Kafka keeps them. */
import { describe, expect, test } from "vitest";
import { systemClock } from "../../src/clock.ts";
import {
	type FetchContext,
	type FetchOutcome,
	type FetchSessionRequest,
	FetchSessions,
	type FetchTarget,
	SESSION_NONE,
} from "../../src/kafka/fetch-sessions.ts";
import { LIMITS } from "../../src/limits.ts";

const INITIAL = 0;
const FINAL = -1;

class TestClock {
	nowMs = 0;
	readonly clock = { ...systemClock, monotonicMs: () => this.nowMs };
}

const target = (topic: string, partition = 0, offset = 0): FetchTarget => ({
	topic,
	partition,
	offset,
	bytesMax: 1_000,
	leaderEpoch: -1,
});

const request = (
	sessionId: number,
	sessionEpoch: number,
	targets: readonly FetchTarget[] = [],
	more: Partial<FetchSessionRequest> = {},
): FetchSessionRequest => ({
	sessionId,
	sessionEpoch,
	targets,
	usesTopicIds: false,
	forgotten: [],
	...more,
});

const outcome = (more: Partial<FetchOutcome> = {}): FetchOutcome => ({
	code: 0,
	highWatermark: 5,
	logStart: 0,
	bytes: 0,
	...more,
});

const names = ({ targets }: FetchContext) =>
	targets.map(({ topic, partition }) => `${topic}/${partition}`);

/** The partitions of which a client is told, by what was read of each (nothing new otherwise). */
function told(context: FetchContext, outcomes: Record<string, FetchOutcome> = {}): string[] {
	return names(context).filter((name, index) => context.tells(index, outcomes[name] ?? outcome()));
}

/** A session in which everything was told once: its id. */
function openSession(sessions: FetchSessions, ...targets: FetchTarget[]): number {
	const context = sessions.open(request(SESSION_NONE, INITIAL, targets));
	told(context);
	return context.sessionId;
}

const failure = (code: string) => expect.objectContaining({ code });

describe("a session", () => {
	test("begins with everything and goes on with what is new", () => {
		const sessions = new FetchSessions(systemClock);
		const first = sessions.open(request(SESSION_NONE, INITIAL, [target("a"), target("b", 1)]));
		expect(first.sessionId).toBeGreaterThan(0);
		expect(told(first)).toEqual(["a/0", "b/1"]);
		const id = first.sessionId;
		const second = sessions.open(request(id, 1));
		expect(second.sessionId).toBe(id);
		expect(names(second)).toEqual(["a/0", "b/1"]);
		expect(told(second)).toEqual([]);
		const changes: Record<string, FetchOutcome>[] = [
			{ "b/1": outcome({ highWatermark: 6 }) },
			{ "b/1": outcome({ highWatermark: 6, logStart: 2 }) },
			{ "b/1": outcome({ highWatermark: 6, logStart: 2, bytes: 10 }) },
		];
		for (const [index, change] of changes.entries()) {
			expect(told(sessions.open(request(id, 2 + index)), change)).toEqual(["b/1"]);
		}
		const quiet = { "b/1": outcome({ highWatermark: 6, logStart: 2 }) };
		expect(told(sessions.open(request(id, 5)), quiet)).toEqual([]);
	});

	test("tells of errors each time, and of what comes behind them", () => {
		const sessions = new FetchSessions(systemClock);
		const id = openSession(sessions, target("a"));
		const failed = { "a/0": outcome({ code: 1, highWatermark: -1, logStart: -1 }) };
		expect(told(sessions.open(request(id, 1)), failed)).toEqual(["a/0"]);
		expect(told(sessions.open(request(id, 2)), failed)).toEqual(["a/0"]);
		expect(told(sessions.open(request(id, 3)))).toEqual(["a/0"]);
		expect(told(sessions.open(request(id, 4)))).toEqual([]);
	});

	test("takes new partitions, new positions, and forgets", () => {
		const sessions = new FetchSessions(systemClock);
		const id = openSession(sessions, target("a"), target("b"));
		const moved = { ...target("a", 0, 7), bytesMax: 5, leaderEpoch: 2 };
		const context = sessions.open(
			request(id, 1, [moved, target("c")], { forgotten: [target("b"), target("unknown")] }),
		);
		expect(context.targets).toMatchObject([moved, target("c")]);
		expect(told(context)).toEqual(["c/0"]);
		expect(names(sessions.open(request(id, 2)))).toEqual(["a/0", "c/0"]);
	});

	test("forgets what is at the same time to be read", () => {
		const sessions = new FetchSessions(systemClock);
		const id = openSession(sessions, target("a"), target("b"));
		const context = sessions.open(
			request(id, 1, [target("a", 0, 3), target("b", 0, 3)], { forgotten: [target("b")] }),
		);
		expect(names(context)).toEqual(["a/0"]);
	});

	test("may begin with nothing", () => {
		const sessions = new FetchSessions(systemClock);
		const id = openSession(sessions);
		expect(id).toBeGreaterThan(0);
		expect(told(sessions.open(request(id, 1, [target("a")])))).toEqual(["a/0"]);
	});

	test("ends when nothing is left of it", () => {
		const sessions = new FetchSessions(systemClock);
		const id = openSession(sessions, target("a"));
		const last = sessions.open(request(id, 1, [], { forgotten: [target("a")] }));
		expect(last).toMatchObject({ sessionId: SESSION_NONE, targets: [] });
		expect(sessions.count).toBe(0);
		expect(() => sessions.open(request(id, 2))).toThrow(failure("FETCH_SESSION_ID_NOT_FOUND"));
	});

	test.each([INITIAL, FINAL])("ends when its client says so (epoch %i)", (epoch) => {
		const sessions = new FetchSessions(systemClock);
		const id = openSession(sessions, target("a"));
		const next = sessions.open(request(id, epoch, [target("b")]));
		expect(names(next)).toEqual(["b/0"]);
		expect(next.sessionId).not.toBe(id);
		expect(next.sessionId === SESSION_NONE).toBe(epoch === FINAL);
		expect(sessions.count).toBe(epoch === FINAL ? 0 : 1);
		expect(() => sessions.open(request(id, 1))).toThrow(failure("FETCH_SESSION_ID_NOT_FOUND"));
	});

	test("serves first what had data longest ago", () => {
		const sessions = new FetchSessions(systemClock);
		const id = openSession(sessions, target("a"), target("b"), target("c"));
		told(sessions.open(request(id, 1)), { "a/0": outcome({ bytes: 10 }) });
		expect(names(sessions.open(request(id, 2)))).toEqual(["b/0", "c/0", "a/0"]);
		told(sessions.open(request(id, 3)), { "c/0": outcome({ bytes: 10 }) });
		expect(names(sessions.open(request(id, 4)))).toEqual(["b/0", "a/0", "c/0"]);
	});

	test("remembers a partition once, as it was named last", () => {
		const sessions = new FetchSessions(systemClock);
		const twice = [target("a", 0, 3), target("b"), target("a", 0, 9)];
		const context = sessions.open(request(SESSION_NONE, INITIAL, twice));
		expect(context.targets).toMatchObject([{ topic: "a", offset: 9 }, { topic: "b" }]);
		const without = sessions.open(request(SESSION_NONE, FINAL, twice));
		expect(without.targets).toMatchObject([{ topic: "a", offset: 9 }, { topic: "b" }]);
	});

	test("does not bring back what was forgotten while it was read", () => {
		const sessions = new FetchSessions(systemClock);
		const id = openSession(sessions, target("a"), target("b"));
		const slow = sessions.open(request(id, 1));
		sessions.open(request(id, 2, [], { forgotten: [target("a")] }));
		told(slow, { "a/0": outcome({ bytes: 10 }) });
		expect(names(sessions.open(request(id, 3)))).toEqual(["b/0"]);
	});
});

describe("refused are", () => {
	test("sessions that there are not", () => {
		const sessions = new FetchSessions(systemClock);
		for (const [id, epoch] of [
			[SESSION_NONE, 5],
			[SESSION_NONE, -5],
			[77, 1],
		] as const) {
			const refused = failure("FETCH_SESSION_ID_NOT_FOUND");
			expect(() => sessions.open(request(id, epoch, [target("a")]))).toThrow(refused);
		}
	});

	test("epochs out of their order, and the session goes on", () => {
		const sessions = new FetchSessions(systemClock);
		const id = openSession(sessions, target("a"));
		for (const epoch of [2, -2, 1_000]) {
			const refused = failure("INVALID_FETCH_SESSION_EPOCH");
			expect(() => sessions.open(request(id, epoch, [target("b")]))).toThrow(refused);
		}
		expect(names(sessions.open(request(id, 1)))).toEqual(["a/0"]);
		expect(() => sessions.open(request(id, 1))).toThrow(failure("INVALID_FETCH_SESSION_EPOCH"));
		expect(names(sessions.open(request(id, 2)))).toEqual(["a/0"]);
	});

	test.each([true, false])("names in a session of ids, and the other way round (%j)", (usesIds) => {
		const sessions = new FetchSessions(systemClock);
		const opening = request(SESSION_NONE, INITIAL, [target("a")], { usesTopicIds: usesIds });
		const id = sessions.open(opening).sessionId;
		const mixed = request(id, 1, [], { usesTopicIds: !usesIds });
		expect(() => sessions.open(mixed)).toThrow(failure("FETCH_SESSION_TOPIC_ID_ERROR"));
		const right = request(id, 1, [], { usesTopicIds: usesIds });
		expect(names(sessions.open(right))).toEqual(["a/0"]);
	});
});

describe("where there is no room", () => {
	const unused = LIMITS.fetchSessionUnusedMsMax;

	test("a fetch has no session and is told of everything", () => {
		const sessions = new FetchSessions(systemClock, 1);
		const id = openSession(sessions, target("a"));
		const other = sessions.open(request(SESSION_NONE, INITIAL, [target("b")]));
		expect(other.sessionId).toBe(SESSION_NONE);
		expect(told(other)).toEqual(["b/0"]);
		expect(told(other)).toEqual(["b/0"]);
		expect(names(sessions.open(request(id, 1)))).toEqual(["a/0"]);
	});

	test("the session that is unused longest goes, once that is long enough", () => {
		const time = new TestClock();
		const sessions = new FetchSessions(time.clock, 2);
		const first = openSession(sessions, target("a"));
		const second = openSession(sessions, target("b"));
		time.nowMs = unused - 1;
		sessions.open(request(first, 1));
		expect(openSession(sessions, target("c"))).toBe(SESSION_NONE);
		time.nowMs = unused;
		expect(openSession(sessions, target("c"))).toBeGreaterThan(0);
		expect(() => sessions.open(request(second, 1))).toThrow(failure("FETCH_SESSION_ID_NOT_FOUND"));
		expect(names(sessions.open(request(first, 2)))).toEqual(["a/0"]);
		expect(sessions.count).toBe(2);
	});

	test("sessions make room until there is enough, and no more", () => {
		const time = new TestClock();
		const sessions = new FetchSessions(time.clock, 10, 4);
		const small = [openSession(sessions, target("a")), openSession(sessions, target("b"))];
		const last = openSession(sessions, target("c"), target("d"));
		time.nowMs = unused;
		expect(openSession(sessions, target("e"), target("f"))).toBeGreaterThan(0);
		expect(sessions.count).toBe(2);
		for (const id of small) {
			expect(() => sessions.open(request(id, 1))).toThrow(failure("FETCH_SESSION_ID_NOT_FOUND"));
		}
		expect(names(sessions.open(request(last, 1)))).toEqual(["c/0", "d/0"]);
	});

	test("a session that grows too large ends, and its room is free", () => {
		const sessions = new FetchSessions(systemClock, 10, 3);
		const id = openSession(sessions, target("a"), target("b"));
		const grown = request(id, 1, [target("c"), target("d")]);
		expect(() => sessions.open(grown)).toThrow(failure("FETCH_SESSION_ID_NOT_FOUND"));
		expect(sessions.count).toBe(0);
		expect(openSession(sessions, target("c"), target("d"), target("e"))).toBeGreaterThan(0);
	});

	test("partitions count once, however often they are named", () => {
		const sessions = new FetchSessions(systemClock, 10, 3);
		const id = openSession(sessions, target("a"), target("b"), target("c"), target("a", 0, 3));
		expect(id).toBeGreaterThan(0);
		const moved = [target("a", 0, 5), target("b", 0, 5), target("c", 0, 5), target("c", 0, 6)];
		expect(sessions.open(request(id, 1, moved)).targets).toMatchObject([
			...moved.slice(0, 2),
			target("c", 0, 6),
		]);
		const swapped = [target("a", 0, 7), target("d"), target("d", 0, 1)];
		const changed = request(id, 2, swapped, { forgotten: [target("b")] });
		expect(names(sessions.open(changed))).toEqual(["a/0", "c/0", "d/0"]);
		expect(openSession(sessions, target("e"))).toBe(SESSION_NONE);
	});

	test("a session may change what it reads", () => {
		const sessions = new FetchSessions(systemClock, 10, 3);
		const id = openSession(sessions, target("a"), target("b"), target("c"));
		const changed = request(id, 1, [target("d")], { forgotten: [target("a")] });
		expect(names(sessions.open(changed))).toEqual(["b/0", "c/0", "d/0"]);
	});

	test("names that are longer than names can be take more of it", () => {
		const long = "x".repeat(10 * LIMITS.topicNameCharactersMax);
		const sessions = new FetchSessions(systemClock, 10, 10);
		expect(openSession(sessions, target(long), target("a"))).toBe(SESSION_NONE);
		const id = openSession(sessions, target(long));
		expect(id).toBeGreaterThan(0);
		expect(openSession(sessions, target("a"))).toBe(SESSION_NONE);
		sessions.open(request(id, 1, [], { forgotten: [target(long)] }));
		expect(openSession(sessions, target("a"))).toBeGreaterThan(0);
	});
});
