/** Consumers that are members of groups, against a broker in this process. */
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, describe, expect, onTestFinished, test, vi } from "vitest";

import {
	type Client,
	connect,
	type GroupConsumer,
	type GroupConsumerOptions,
} from "../../src/client/index.ts";
import { type Broker, type MemoryBroker, startBroker } from "../../src/index.ts";
import { Membership } from "../../src/websocket/membership.ts";
import { encodeMessage } from "../kafka/client-codec.ts";
import { RawKafkaClient } from "../kafka/raw-client.ts";
import { kafkaPortOf } from "../kafka/use-broker.ts";
import { MutingProxy } from "../muting-proxy.ts";
import { beforeAllOver, requireTransport, TRANSPORTS } from "../websocket/harness.ts";

/** What is left of it where a test lets nearly all of it pass is more than any machine stalls. */
const PROGRESS_MS = 600_000;

let nameCount = 0;

function portOf(broker: Broker | undefined): number {
	return Number(new URL(broker?.addresses.websocket as string).port);
}

describe.each(TRANSPORTS)("groups on %s", (websocketTransport) => {
	requireTransport(websocketTransport);
	let broker: MemoryBroker | undefined;
	/** For everything that a test does beside its members. */
	let admin: Client;
	const clients: Client[] = [];

	beforeAllOver(websocketTransport, async () => {
		broker = await startBroker({ memory: true, websocketTransport });
		admin = await connected();
	});

	afterAll(async () => {
		for (const client of clients) await client.close();
		await broker?.close();
	});

	async function connected(url = broker?.addresses.websocket as string): Promise<Client> {
		const options = { reconnectMsFirst: 5, reconnectMsMax: 20 };
		const client = await connect(url, options);
		clients.push(client);
		return client;
	}

	/** A topic with so many records in each partition: their values are "partition:offset". */
	async function topicOf(partitions: number, records = 0): Promise<string> {
		const topic = `topic-${nameCount++}`;
		await admin.topics.create(topic, { partitions });
		await append(topic, partitions, records);
		return topic;
	}

	async function append(topic: string, partitions: number, records: number, from = 0) {
		const producer = admin.producer<string>({ codec: "string" });
		for (let partition = 0; partition < partitions; partition++) {
			const batch = Array.from({ length: records }, (_, index) => ({
				partition,
				value: `${partition}:${from + index}`,
			}));
			if (batch.length > 0) await producer.sendBatch(topic, batch);
		}
	}

	type Options = Partial<GroupConsumerOptions<string>>;

	function member(client: Client, topic: string, options: Options = {}): GroupConsumer<string> {
		return client.consumer<string>({
			group: `group of ${topic}`,
			topics: topic,
			from: "earliest",
			codec: "string",
			...options,
		});
	}

	/** What the group has committed, by partition, as administrators see it. */
	async function committed(topic: string): Promise<(number | null)[]> {
		const { partitions } = await admin.groups.describe(`group of ${topic}`);
		return partitions.map(({ committed }) => committed);
	}

	/**
	 * Makes the consumer's signs of progress the test's. What it returns has the consumer give one,
	 * where it would, and lets nearly all the time pass in which the broker waits for the next.
	 */
	function progressTime(): () => Promise<void> {
		const signs = vi.spyOn(Membership.prototype, "progress");
		vi.useFakeTimers({ toFake: ["setInterval", "clearInterval"] });
		onTestFinished(() => {
			vi.useRealTimers();
			signs.mockRestore();
		});
		return async () => {
			const { length } = signs.mock.calls;
			vi.advanceTimersByTime(PROGRESS_MS / 2);
			await expect.poll(() => signs.mock.calls.length).toBeGreaterThan(length);
			await broker?.clock.advance(0.9 * PROGRESS_MS);
		};
	}

	async function take(consumer: GroupConsumer<string>, count: number): Promise<string[]> {
		const values: string[] = [];
		for await (const { value } of consumer) {
			values.push(value as string);
			if (values.length === count) break;
		}
		return values;
	}

	test("what the application is done with is committed at the end, and only that", async () => {
		const topic = await topicOf(1, 5);
		const consumer = member(admin, topic);
		expect(await take(consumer, 3)).toEqual(["0:0", "0:1", "0:2"]);
		// The loop was left with the third in hand: nobody said that it is dealt with.
		await consumer.close();
		expect(await committed(topic)).toEqual([2]);
		const next = member(admin, topic);
		expect(await take(next, 2)).toEqual(["0:2", "0:3"]);
		await next.commit();
		await next.close();
		expect(await committed(topic)).toEqual([4]);
		expect(await next[Symbol.asyncIterator]().next()).toEqual({ done: true, value: undefined });
	});

	test("batches are committed when the next one is asked for, and on an interval", async () => {
		const topic = await topicOf(1, 3);
		const consumer = member(admin, topic, { autoCommitIntervalMs: 20 });
		const batches = consumer.batches();
		const first = (await batches.next()).value;
		expect([...(first ?? [])].map(({ value }) => value)).toEqual(["0:0", "0:1", "0:2"]);
		// Where it began: with "latest", the next member would begin later.
		const beginning = { offset: 0, metadata: "" };
		await expect.poll(() => consumer.committed(topic, 0)).toEqual(beginning);
		await sleep(100);
		expect(await consumer.committed(topic, 0)).toEqual(beginning);
		const next = batches.next();
		await expect.poll(() => committed(topic)).toEqual([3]);
		await append(topic, 1, 1, 3);
		expect([...((await next).value ?? [])]).toHaveLength(1);
		await consumer.close();
		expect(await committed(topic)).toEqual([3]);
	});

	test("commits by hand, of everything given out or of certain offsets", async () => {
		const topic = await topicOf(2, 4);
		const consumer = member(admin, topic, { autoCommit: false });
		await take(consumer, 1);
		expect(await consumer.committed(topic, 0)).toBeNull();
		await consumer.commit([{ topic, partition: 1, offset: 2, metadata: "half" }]);
		expect(await consumer.committed(topic, 1)).toEqual({ offset: 2, metadata: "half" });
		await consumer.commit();
		expect((await committed(topic)).filter((offset) => offset === 1)).toHaveLength(1);
		await expect(
			consumer.commit([{ topic: "elsewhere", partition: 0, offset: 1 }]),
		).rejects.toMatchObject({ code: "UNKNOWN_TOPIC_OR_PARTITION", topic: "elsewhere" });
		const before = await committed(topic);
		await take(consumer, 3);
		await consumer.close();
		expect(await committed(topic)).toEqual(before);
	});

	test("a second member takes over where the first has committed, and no earlier", async () => {
		const topic = await topicOf(2, 10);
		const events: string[] = [];
		const first = member(await connected(), topic, {
			onAssign: (list) => void events.push(`assign ${list.length}`),
			onRevoke: (list, { lost }) => void events.push(`revoke ${list.length} ${lost}`),
		});
		const records = first[Symbol.asyncIterator]();
		const seen = new Set<string>();
		// Alternates between the partitions, or not: one record of each is certain within eleven.
		for (let count = 0; count < 11; count++)
			seen.add((await records.next()).value?.value as string);
		const inHand = [...seen].at(-1) as string;
		const second = member(await connected(), topic, { until: "end" });
		const others = (async () => {
			const values: string[] = [];
			for await (const { value } of second) values.push(value as string);
			return values;
		})();
		await expect.poll(() => first.assignment().length).toBeGreaterThan(0);
		// It goes on with what it keeps; what it has in hand it keeps until it asks for the next.
		await sleep(100);
		const before = await admin.groups.describe(`group of ${topic}`);
		const rest = (async () => {
			for (;;) {
				const { value, done } = await records.next();
				if (done === true) return;
				seen.add(value.value as string);
			}
		})();
		const taken = await others;
		expect(taken.some((value) => seen.has(value))).toBe(false);
		await expect.poll(() => seen.size + taken.length).toBe(20);
		expect(events.slice(0, 2)).toEqual(["assign 2", "revoke 1 false"]);
		// While the revoked partition had a record in hand, it was still the first one's.
		const partition = before.partitions.find((each) => `${each.partition}` === inHand[0]);
		expect(partition?.member_id).not.toBeNull();
		await first.close();
		await rest;
		expect(await committed(topic)).toEqual([10, 10]);
	});

	test("a consumer reads to the end and has committed when its loop is over", async () => {
		const topic = await topicOf(3, 7);
		const values: unknown[] = [];
		for await (const { value } of member(admin, topic, { until: "end" })) values.push(value);
		expect(new Set(values).size).toBe(21);
		expect(await committed(topic)).toEqual([7, 7, 7]);
		expect((await admin.groups.describe(`group of ${topic}`)).state).toBe("Empty");
		for await (const record of member(admin, topic, { until: "end" })) expect(record).toBeNull();
	});

	test("who reads to the end is done, too, when what is left is given to others", async () => {
		const topic = await topicOf(2, 0);
		await append(topic, 1, 2);
		const values: (string | null)[] = [];
		const first = member(await connected(), topic, { until: "end", bufferBytesMax: 1 });
		await append(topic, 2, 500, 2);
		let second: GroupConsumer<string> | undefined;
		let others: Promise<void> | undefined;
		for await (const { value } of first) {
			values.push(value);
			if (values.length !== 20) continue;
			const joining = member(await connected(), topic);
			second = joining;
			others = (async () => {
				for await (const record of joining) values.push(record.value);
			})();
			await joining.ready();
		}
		await expect.poll(() => values.length).toBe(1_002);
		expect(new Set(values).size).toBe(values.length);
		await second?.close();
		await others;
	});

	test("from the latest, nothing between two members is lost", async () => {
		const topic = await topicOf(1, 3);
		const first = member(admin, topic, { from: "latest", autoCommitIntervalMs: 10 });
		await first.ready();
		await expect.poll(() => committed(topic)).toEqual([3]);
		await first.close();
		await append(topic, 1, 2, 3);
		const second = member(admin, topic, { from: "latest" });
		expect(await take(second, 2)).toEqual(["0:3", "0:4"]);
		await second.close();
	});

	test("onAssign is waited for, and may seek", async () => {
		const topic = await topicOf(1, 5);
		const consumer = member(admin, topic, {
			onAssign: async ([{ partition } = { partition: -1 }]) => {
				await sleep(20);
				consumer.seek(topic, partition, { offset: 3 });
			},
		});
		expect(await take(consumer, 2)).toEqual(["0:3", "0:4"]);
		await consumer.close();
		expect(await committed(topic)).toEqual([4]);
	});

	test("a static member that is started again gets what it had, and nobody hears", async () => {
		const topic = await topicOf(4, 5);
		const told: string[] = [];
		const other = member(await connected(), topic, {
			onAssign: (list) => void told.push(`+${list.length}`),
			onRevoke: (list) => void told.push(`-${list.length}`),
		});
		const loop = (async () => {
			for await (const { value } of other) expect(value).not.toBeNull();
		})();
		const first = await connected();
		const before = member(first, topic, { instanceId: "one" });
		await before.ready();
		await expect.poll(() => before.assignment().length).toBe(2);
		const had = before.assignment().map(({ partition }) => partition);
		await expect.poll(() => other.assignment().length).toBe(2);
		told.length = 0;
		await first.close();
		const after = member(await connected(), topic, { instanceId: "one" });
		await after.ready();
		await expect.poll(() => after.assignment().length).toBe(2);
		expect(after.assignment().map(({ partition }) => partition)).toEqual(had);
		expect(told).toEqual([]);
		await after.close();
		await other.close();
		await loop;
	});

	test("what a function of the application throws ends the consumer", async () => {
		const topic = await topicOf(1, 1);
		const consumer = member(admin, topic, {
			onAssign: () => {
				throw new Error("not today");
			},
		});
		await expect(take(consumer, 1)).rejects.toThrow("not today");
		await expect
			.poll(async () => (await admin.groups.describe(`group of ${topic}`)).state)
			.toBe("Empty");
	});

	test("an application that is stuck loses its partitions, and joins again", async () => {
		const topic = await topicOf(1, 4);
		const lost: boolean[] = [];
		const stuck = member(await connected(), topic, {
			progressTimeoutMs: PROGRESS_MS,
			onRevoke: (_, how) => void lost.push(how.lost),
		});
		const records = stuck[Symbol.asyncIterator]();
		await records.next();
		expect((await records.next()).value?.value).toBe("0:1");
		await broker?.clock.advance(PROGRESS_MS + 1);
		const other = member(await connected(), topic);
		expect(await take(other, 1)).toEqual(["0:0"]);
		expect(lost).toEqual([true]);
		expect(stuck.assignment()).toEqual([]);
		await expect(stuck.commit()).rejects.toMatchObject({ code: "STALE_MEMBER_EPOCH" });
		await expect(stuck.commit([{ topic, partition: 0, offset: 2 }])).rejects.toMatchObject({
			code: "UNKNOWN_MEMBER_ID",
		});
		const again = records.next();
		await other.commit();
		await other.close();
		expect((await again).value?.value).toBe("0:1");
		await stuck.close();
	});

	test("who has lost its static place to another ends, and takes it from nobody", async () => {
		const topic = await topicOf(1, 1);
		const lost: boolean[] = [];
		const consumer = member(await connected(), topic, {
			instanceId: "one",
			onRevoke: (_, how) => void lost.push(how.lost),
		});
		const records = consumer[Symbol.asyncIterator]();
		expect((await records.next()).value?.value).toBe("0:0");
		const kafka = await RawKafkaClient.connect(kafkaPortOf(broker as Broker));
		onTestFinished(() => kafka.close());
		const subscription = { topics: [topic], ownedPartitions: [] };
		const metadata = Buffer.concat([
			Buffer.from([0, 1]),
			encodeMessage("ConsumerProtocolSubscription", 1, subscription),
		]);
		const joined = await kafka.request("JoinGroup", 9, {
			...{ groupId: `group of ${topic}`, memberId: "", groupInstanceId: "one", reason: null },
			...{ sessionTimeoutMs: 600_000, rebalanceTimeoutMs: 600_000 },
			...{ protocolType: "consumer", protocols: [{ name: "range", metadata }] },
		});
		expect(joined).toMatchObject({ errorCode: 0 });
		await expect(records.next()).rejects.toMatchObject({ code: "FENCED_INSTANCE_ID" });
		await expect.poll(() => lost).toEqual([true]);
		const { members } = await admin.groups.describe(`group of ${topic}`);
		expect(members).toMatchObject([{ member_id: joined.memberId }]);
	});

	test("who waits for records is not stuck, nor is who is slow but asks in time", async () => {
		const nearlyRunOut = progressTime();
		const topic = await topicOf(1, 4);
		const lost: boolean[] = [];
		const consumer = member(admin, topic, {
			progressTimeoutMs: PROGRESS_MS,
			onRevoke: (_, how) => void lost.push(how.lost),
		});
		const records = consumer[Symbol.asyncIterator]();
		for (let count = 0; count < 4; count++) {
			expect((await records.next()).value?.value).toBe(`0:${count}`);
			await nearlyRunOut();
		}
		const next = records.next();
		for (let count = 0; count < 2; count++) await nearlyRunOut();
		await append(topic, 1, 1, 4);
		expect((await next).value?.value).toBe("0:4");
		expect(lost).toEqual([]);
		await consumer.close();
	});

	test("topics by pattern, as they come and go", async () => {
		const prefix = `pattern-${nameCount++}`;
		const consumer = admin.consumer<string>({
			group: prefix,
			pattern: `${prefix}\\..*`,
			from: "earliest",
			codec: "string",
		});
		const records = consumer[Symbol.asyncIterator]();
		const first = records.next();
		await admin.topics.create(`${prefix}.a`);
		await admin.producer({ codec: "string" }).send({ topic: `${prefix}.a`, value: "one" });
		expect((await first).value?.value).toBe("one");
		const second = records.next();
		await admin.topics.delete(`${prefix}.a`);
		await expect.poll(() => consumer.assignment()).toEqual([]);
		await admin.topics.create(`${prefix}.a`);
		await admin.producer({ codec: "string" }).send({ topic: `${prefix}.a`, value: "two" });
		expect((await second).value).toMatchObject({ value: "two", offset: 0 });
		await consumer.close();
	});

	test("members of one client share, too", async () => {
		const topic = await topicOf(4, 50);
		const client = await connected();
		const members = [member(client, topic), member(client, topic), member(client, topic)];
		const seen: string[] = [];
		const loops = members.map(async (consumer) => {
			for await (const { value } of consumer) seen.push(value as string);
		});
		await expect.poll(() => seen.length).toBe(200);
		await expect
			.poll(() => members.map((each) => each.assignment().length).sort())
			.toEqual([1, 1, 2]);
		await client.close();
		await Promise.all(loops);
		expect(new Set(seen).size).toBe(200);
		expect(seen).toHaveLength(200);
		expect(await committed(topic)).toEqual([50, 50, 50, 50]);
	});

	test("pausing keeps the membership and holds a partition back", async () => {
		const nearlyRunOut = progressTime();
		const topic = await topicOf(2, 3);
		const consumer = member(admin, topic, { progressTimeoutMs: PROGRESS_MS });
		await consumer.ready();
		consumer.pause(topic, 0);
		expect(await take(consumer, 3)).toEqual(["1:0", "1:1", "1:2"]);
		const records = consumer[Symbol.asyncIterator]();
		const next = records.next();
		for (let count = 0; count < 2; count++) await nearlyRunOut();
		consumer.resume();
		expect((await next).value?.value).toBe("0:0");
		await consumer.close();
		// "0:0" is in hand.
		expect(await committed(topic)).toEqual([0, 3]);
	});

	test.each([
		[{ topics: [] }, "INVALID_ARGUMENT"],
		[{ progressTimeoutMs: 0 }, "INVALID_ARGUMENT"],
		[{ autoCommitIntervalMs: 1.5 }, "INVALID_ARGUMENT"],
		[{ rebalanceTimeoutMs: 2 ** 31 }, "INVALID_ARGUMENT"],
	] as [Options, string][])("options that make no sense are refused (%#)", (options, code) => {
		expect(() => member(admin, "t", options)).toThrow(expect.objectContaining({ code }));
	});

	test.each([
		[{ pattern: "(" }, "INVALID_REGULAR_EXPRESSION"],
		[{ group: "" }, "INVALID_GROUP_ID"],
		[{ assignor: "mine" as "range" }, "UNSUPPORTED_ASSIGNOR"],
	] as [Options, string][])("what the broker refuses rejects (%#)", async (options, code) => {
		const consumer = member(admin, "t", options);
		await expect(consumer.ready()).rejects.toMatchObject({ code });
		await expect(consumer[Symbol.asyncIterator]().next()).rejects.toMatchObject({ code });
		await consumer.close();
	});

	test("a signal ends it with its reason, and it leaves", async () => {
		const topic = await topicOf(1, 2);
		const abort = new AbortController();
		const consumer = member(admin, topic, { signal: abort.signal });
		const records = consumer[Symbol.asyncIterator]();
		await records.next();
		await records.next();
		abort.abort(new Error("enough"));
		await expect(records.next()).rejects.toThrow("enough");
		await expect.poll(() => committed(topic)).toEqual([1]);
		await expect
			.poll(async () => (await admin.groups.describe(`group of ${topic}`)).members)
			.toEqual([]);
		const aborted = member(admin, topic, { signal: AbortSignal.abort(new Error("before")) });
		await expect(take(aborted, 1)).rejects.toThrow("before");
	});

	test("a lost connection is made again, and reading goes on where it was committed", async () => {
		const topic = await topicOf(1, 3);
		const proxy = await MutingProxy.start(portOf(broker), onTestFinished);
		const client = await connected(proxy.url);
		const lost: boolean[] = [];
		const consumer = member(client, topic, { onRevoke: (_, how) => void lost.push(how.lost) });
		const records = consumer[Symbol.asyncIterator]();
		for (let count = 0; count < 3; count++) await records.next();
		await consumer.commit([{ topic, partition: 0, offset: 2 }]);
		proxy.cut();
		await expect(consumer.commit()).rejects.toMatchObject({ code: "CONNECTION_LOST" });
		expect((await records.next()).value?.value).toBe("0:2");
		expect(lost).toEqual([true]);
		await consumer.close();
	});
});
