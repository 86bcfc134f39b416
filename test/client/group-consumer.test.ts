/** Members of a group, against a broker that answers when and what a test says. */
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

import { connectWith } from "../../src/client/client.ts";
import type { Client, GroupConsumer, GroupConsumerOptions } from "../../src/client/index.ts";
import { type Called, ScriptedBroker } from "./scripted-broker.ts";
import { SimulatedNetwork } from "./simulated-network.ts";
import { running, simulateTime, wait } from "./simulated-time.ts";

const COORDINATOR_LOAD_IN_PROGRESS = 14;
const UNKNOWN_MEMBER_ID = 25;
const GROUP_AUTHORIZATION_FAILED = 30;
const INVALID_REQUEST = 42;

const SUBSCRIBE = 4;
const NOTICE = 136;
const ENDED = 135;

/** Beyond all that a member does by itself. */
const LONG_MS = 10_000;

interface Partitions {
	topic: string;
	partitions: { partition: number; offset: number }[];
}

/** A group that gives whoever joins all partitions of the topic "a". */
class ScriptedGroup {
	readonly members = new Set<string>();
	joinCount = 0;
	leaveCount = 0;
	/** Joins are answered when this has resolved. */
	joinsHeld: Promise<void> = Promise.resolve();
	/** Refuses joins with this code. */
	joinCode = 0;
	/** Refuses commits with this code. */
	commitCode = 0;
	/** By partition. */
	readonly committed = new Map<number, number>();
	readonly #broker: ScriptedBroker;

	constructor(broker: ScriptedBroker) {
		this.#broker = broker;
		broker.features = ["groups"];
		broker.onCall = (name, takes) => this.#call(name, takes);
	}

	/** Takes a member out, as one that is stuck. */
	expel(): void {
		for (const member_id of this.members) {
			const notice = { group: "g", member_id, code: UNKNOWN_MEMBER_ID, name: "", message: "" };
			this.#broker.tell(NOTICE, "lost", notice);
		}
		this.members.clear();
	}

	async #call(name: string, takes: Record<string, unknown>): Promise<Called> {
		const id = takes.member_id as string;
		if (name === "groups.join") return this.#join(id);
		if (name === "groups.commit") return this.#commit(takes.topics as Partitions[]);
		if (name === "groups.leave") this.#leave(id);
		return {};
	}

	#leave(id: string): void {
		this.leaveCount++;
		this.members.delete(id);
	}

	async #join(id: string): Promise<Called> {
		this.joinCount++;
		await this.joinsHeld;
		if (this.joinCode !== 0) return this.joinCode;
		if (this.members.has(id)) return INVALID_REQUEST;
		this.members.add(id);
		setTimeout(() => this.#assign(id), 0); // behind the answer
		return { member_id: id, resumed: false };
	}

	#assign(id: string): void {
		const topic = this.#broker.topics.get("a");
		const partitions = topic?.partitions.map((_, partition) => {
			return { partition, offset: this.committed.get(partition) ?? null, leader_epoch: -1 };
		});
		const topics = [{ topic: "a", topic_id: topic?.id, partitions }];
		const notice = { group: "g", member_id: id, epoch: 1, settled: true, topics };
		this.#broker.tell(NOTICE, "assign", notice);
	}

	#commit(topics: Partitions[]): Called {
		return {
			topics: topics.map(({ topic, partitions }) => ({
				topic,
				partitions: partitions.map(({ partition, offset }) => {
					if (this.commitCode === 0) this.committed.set(partition, offset);
					return { partition, code: this.commitCode };
				}),
			})),
		};
	}
}

let broker: ScriptedBroker;
let group: ScriptedGroup;
let network: SimulatedNetwork;

beforeEach(() => {
	simulateTime();
	broker = new ScriptedBroker();
	broker.create("a", 1);
	group = new ScriptedGroup(broker);
	network = new SimulatedNetwork(broker, () => 0.5, 0);
});

afterEach(() => vi.useRealTimers());

const connected = () => connectWith(network.open, "ws://simulated", {});

type Options = Partial<GroupConsumerOptions<string>>;

function memberOf(client: Client, options: Options = {}): GroupConsumer<string> {
	const common = { group: "g", topics: "a", from: "earliest", codec: "string" } as const;
	return client.consumer<string>({ ...common, ...options });
}

async function until(isTrue: () => boolean): Promise<void> {
	while (!isTrue()) await wait(1);
}

const subscribeCount = () =>
	broker.requests.filter(([operation]) => operation === SUBSCRIBE).length;

describe("who is closed while it joins", () => {
	test.each(["close", "abort"] as const)("by %s leaves as soon as it is a member", (how) =>
		running(async () => {
			const client = await connected();
			let release: (() => void) | undefined;
			group.joinsHeld = new Promise((resolve) => {
				release = resolve;
			});
			const abort = new AbortController();
			const onAssign = vi.fn();
			const consumer = memberOf(client, { signal: abort.signal, onAssign });
			const next = consumer[Symbol.asyncIterator]()
				.next()
				.catch((error: unknown) => error);
			await until(() => group.joinCount === 1);
			if (how === "abort") abort.abort("enough");
			const closing = how === "close" ? consumer.close() : undefined;
			release?.();
			await closing?.then(() => expect(group.leaveCount).toBe(1));
			expect(await next).toEqual(how === "abort" ? "enough" : { done: true, value: undefined });
			await wait(LONG_MS);
			expect([group.members.size, group.joinCount, subscribeCount()]).toEqual([0, 1, 0]);
			expect(onAssign).not.toHaveBeenCalled();
			await client.close();
		}),
	);

	test("does not try again where the broker cannot serve it yet", () =>
		running(async () => {
			const client = await connected();
			group.joinCode = COORDINATOR_LOAD_IN_PROGRESS;
			const abort = new AbortController();
			const consumer = memberOf(client, { signal: abort.signal });
			const ready = consumer.ready().catch((error: unknown) => error);
			await until(() => group.joinCount === 2);
			abort.abort("enough");
			expect(await ready).toBe("enough");
			await wait(LONG_MS);
			expect(group.joinCount).toBe(2);
			await client.close();
		}));
});

test("an application that is stuck joins when it goes on, not when it is connected again", () =>
	running(async () => {
		const client = await connected();
		broker.append("a", 0, ["r0", "r1"]);
		const onRevoke = vi.fn();
		const consumer = memberOf(client, { onRevoke });
		const records = consumer[Symbol.asyncIterator]();
		expect((await records.next()).value?.value).toBe("r0");
		group.expel();
		await until(() => onRevoke.mock.calls.length > 0);
		network.cut();
		await until(() => broker.hellos.length === 2);
		await wait(1_000);
		expect(group.joinCount).toBe(1);
		await expect(consumer.commit([{ topic: "a", partition: 0, offset: 1 }])).rejects.toMatchObject({
			code: "UNKNOWN_MEMBER_ID",
		});
		expect((await records.next()).value?.value).toBe("r0");
		expect(group.joinCount).toBe(2);
		await consumer.close();
		expect(group.members.size).toBe(0);
		await client.close();
	}));

describe("reading to the end", () => {
	test("a last commit that is refused is what the loop ends with", () =>
		running(async () => {
			const client = await connected();
			broker.append("a", 0, ["r0", "r1"]);
			group.commitCode = GROUP_AUTHORIZATION_FAILED;
			const seen: (string | null)[] = [];
			const read = async () => {
				const consumer = memberOf(client, { until: "end", autoCommitIntervalMs: 1_000_000 });
				for await (const { value } of consumer) seen.push(value);
			};
			await expect(read()).rejects.toMatchObject({ code: "GROUP_AUTHORIZATION_FAILED" });
			expect(seen).toEqual(["r0", "r1"]);
			expect(group.members.size).toBe(0);
			await client.close();
		}));

	test("a partition that failed is told of when others are at their ends", () =>
		running(async () => {
			const client = await connected();
			broker.grow("a", 2);
			for (const partition of [0, 1]) broker.append("a", partition, ["r0", "r1"]);
			const consumer = memberOf(client, { until: "end" });
			await consumer.ready();
			const subscribes = broker.requests.filter(([operation]) => operation === SUBSCRIBE);
			const sub = subscribes.find(([, , , , partition]) => partition === 1)?.[2];
			broker.tell(ENDED, sub, 1, { name: "OFFSET_OUT_OF_RANGE", message: "", retriable: false });
			await wait(100);
			const seen: (string | null)[] = [];
			const read = async () => {
				for await (const { value } of consumer) seen.push(value);
			};
			await expect(read()).rejects.toMatchObject({ code: "OFFSET_OUT_OF_RANGE", partition: 1 });
			expect(seen).toEqual(["r0", "r1", "r0", "r1"]);
			await wait(100);
			expect(group.members.size).toBe(0);
			await client.close();
		}));
});

describe("a loop that is left with a record in hand", () => {
	/** A consumer of five records that commits often. */
	async function reading(): Promise<[Client, GroupConsumer<string>]> {
		const client = await connected();
		broker.append("a", 0, ["r0", "r1", "r2", "r3", "r4"]);
		return [client, memberOf(client, { autoCommitIntervalMs: 10 })];
	}

	/** What is committed once there was time to. */
	async function committed(): Promise<number | undefined> {
		await wait(1_000);
		return group.committed.get(0);
	}

	const leaveAt = async (consumer: GroupConsumer<string>, value: string) => {
		for await (const record of consumer) if (record.value === value) throw new Error("failed");
	};

	test("says nothing about it; one that begins after it says that it is dealt with", () =>
		running(async () => {
			const [client, consumer] = await reading();
			await expect(leaveAt(consumer, "r2")).rejects.toThrow("failed");
			expect(await committed()).toBe(2);
			const records = consumer[Symbol.asyncIterator]();
			expect((await records.next()).value?.value).toBe("r3");
			expect(await committed()).toBe(3);
			await client.close();
		}));

	test("gets it again by seek, and it is not committed before", () =>
		running(async () => {
			const [client, consumer] = await reading();
			await expect(leaveAt(consumer, "r2")).rejects.toThrow("failed");
			consumer.seek("a", 0, { offset: 2 });
			const records = consumer[Symbol.asyncIterator]();
			expect((await records.next()).value?.value).toBe("r2");
			expect(await committed()).toBe(2);
			expect((await records.next()).value?.value).toBe("r3");
			expect(await committed()).toBe(3);
			await client.close();
		}));

	test("is told by commit when others read the record again", () =>
		running(async () => {
			const client = await connected();
			broker.append("a", 0, ["r0", "r1"]);
			const onRevoke = vi.fn();
			const consumer = memberOf(client, { onRevoke });
			for await (const { value } of consumer) {
				expect(value).toBe("r0");
				group.expel();
				await until(() => onRevoke.mock.calls.length > 0);
				break;
			}
			await expect(consumer.commit()).rejects.toMatchObject({ code: "STALE_MEMBER_EPOCH" });
			await client.close();
		}));

	test("holds commits back while loops beside it go on", () =>
		running(async () => {
			const [client, consumer] = await reading();
			const [left, beside] = [consumer[Symbol.asyncIterator](), consumer[Symbol.asyncIterator]()];
			expect((await left.next()).value?.value).toBe("r0");
			for (const value of ["r1", "r2"]) expect((await beside.next()).value?.value).toBe(value);
			await left.return?.();
			expect((await beside.next()).value?.value).toBe("r3");
			expect(await committed()).toBe(0);
			await consumer.commit();
			expect(await committed()).toBe(4);
			await client.close();
		}));
});
