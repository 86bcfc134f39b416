import { setImmediate as turn } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type Client, type Consumer, connect, type Gap } from "../../src/client/index.ts";
import { ScriptedBroker } from "./scripted-broker.ts";

let broker: ScriptedBroker;
let client: Client;

beforeEach(async () => {
	broker = await ScriptedBroker.start();
	broker.create("a", 1);
	broker.create("many", 4);
	client = await connect(broker.url, { reconnectMsFirst: 5, reconnectMsMax: 20 });
});

afterEach(async () => {
	await client.close();
	await broker.kill();
});

const numbered = (count: number, from = 0) =>
	Array.from({ length: count }, (_, index) => `r${index + from}`);

/** The next `count` values. */
async function take(consumer: Consumer<string>, count: number): Promise<(string | null)[]> {
	const values: (string | null)[] = [];
	for await (const record of consumer) {
		values.push(record.value);
		if (values.length === count) break;
	}
	return values;
}

const consumerOf = (options: Partial<Parameters<Client["consumer"]>[0]> = {}) =>
	client.consumer<string>({ topics: "a", from: "earliest", codec: "string", ...options } as never);

describe("reading", () => {
	test("until the end: every record that was there at the start, in order", async () => {
		broker.append("a", 0, numbered(1_000));
		const consumer = consumerOf({ until: "end" });
		await consumer.ready();
		broker.append("a", 0, ["later"]);
		const values: (string | null)[] = [];
		const offsets: number[] = [];
		for await (const record of consumer) {
			values.push(record.value);
			offsets.push(record.offset);
			expect([record.topic, record.partition]).toEqual(["a", 0]);
		}
		expect(values).toEqual(numbered(1_000));
		expect(offsets).toEqual(numbered(1_000).map((_, index) => index));
	});

	test("until the end of an empty topic is over at once", async () => {
		for await (const record of consumerOf({ until: "end", topics: ["a", "many"] })) {
			expect(record).toBeUndefined();
		}
	});

	test("all partitions of several topics, each in order", async () => {
		for (let partition = 0; partition < 4; partition++) {
			broker.append("many", partition, numbered(300, partition * 1_000));
		}
		broker.append("a", 0, numbered(300, 9_000));
		const seen = new Map<string, string[]>();
		for await (const { topic, partition, value } of consumerOf({
			until: "end",
			topics: ["a", "many"],
		})) {
			const name = `${topic}-${partition}`;
			seen.set(name, [...(seen.get(name) ?? []), value as string]);
		}
		expect(seen.get("a-0")).toEqual(numbered(300, 9_000));
		expect(seen.get("many-3")).toEqual(numbered(300, 3_000));
		expect(seen.size).toBe(5);
	});

	test("from the latest, an offset, a time, or as a function says", async () => {
		broker.append("a", 0, numbered(10));
		const latest = consumerOf({ from: "latest" });
		await latest.ready();
		broker.append("a", 0, numbered(2, 10));
		expect(await take(latest, 2)).toEqual(["r10", "r11"]);
		expect(await take(consumerOf({ from: { offset: 7 } }), 2)).toEqual(["r7", "r8"]);
		const after = { timestamp: new Date(1_700_000_000_000) };
		expect(await take(consumerOf({ from: after }), 1)).toEqual(["r0"]);
		expect(await take(consumerOf({ from: () => ({ offset: 3 }) }), 1)).toEqual(["r3"]);
		expect(() => consumerOf({ from: { offset: -1 } })).toThrow(
			expect.objectContaining({ code: "INVALID_ARGUMENT" }),
		);
	});

	test("batches hold what arrived together; records and batches can be mixed", async () => {
		broker.append("a", 0, numbered(250));
		const consumer = consumerOf({ until: "end" });
		expect(await take(consumer, 30)).toEqual(numbered(30));
		const values: (string | null)[] = [];
		for await (const batch of consumer.batches()) {
			expect(batch.length).toBeGreaterThan(0);
			for (const record of batch) values.push(record.value);
			expect([...batch].length).toBe(batch.length);
			expect(batch.lastOffset).toBe(29 + values.length);
		}
		expect(values).toEqual(numbered(220, 30));
	});

	test("keys, timestamps and headers as they were sent; a tombstone's value is null", async () => {
		const producer = client.producer<string>({ codec: "string" });
		const headers = [
			["h", "1"],
			["h", null],
		] as const;
		await producer.send({ topic: "a", key: "clé", value: null, timestamp: 12, headers });
		for await (const record of consumerOf({ until: "end" })) {
			expect(record).toMatchObject({ keyText: "clé", value: null, timestamp: 12 });
			expect(record.headers).toEqual([
				["h", new TextEncoder().encode("1")],
				["h", null],
			]);
			expect(record.valueBytes).toBeNull();
		}
	});

	test("a record is written as JSON by what is in it", async () => {
		const producer = client.producer<unknown>();
		const headers = [
			["text", "1"],
			["bytes", Uint8Array.of(0xff, 0xfe)],
			["none", null],
		] as const;
		await producer.send({ topic: "a", key: "clé", value: { n: 1 }, timestamp: 12, headers });
		await producer.send({ topic: "a", key: Uint8Array.of(0xff), value: null, timestamp: 13 });
		await producer.send({ topic: "a", value: Uint8Array.of(0x68, 0x69), timestamp: 14 });
		const records: unknown[] = [];
		for await (const record of client.consumer({ topics: "a", from: "earliest", until: "end" })) {
			records.push(JSON.parse(JSON.stringify(record)));
		}
		const common = { topic: "a", partition: 0, headers: [] };
		const written = [
			["text", "1"],
			["bytes", { base64: "//4=" }],
			["none", null],
		];
		const first = { ...common, offset: 0, timestamp: 12, key: "clé", value: { n: 1 } };
		expect(records).toEqual([
			{ ...first, headers: written },
			{ ...common, offset: 1, timestamp: 13, key: { base64: "/w==" }, value: null },
			{ ...common, offset: 2, timestamp: 14, key: null, value: "hi" },
		]);
	});

	test("a value that the codec cannot read throws where it is read", async () => {
		broker.append("a", 0, [Uint8Array.of(0xc1), "x"]);
		const consumer = client.consumer({ topics: "a", from: "earliest", until: "end" });
		for await (const record of consumer) {
			if (record.offset > 0) continue;
			expect(() => record.value).toThrow(
				expect.objectContaining({ code: "INVALID_RECORD", topic: "a", partition: 0 }),
			);
			expect(record.valueBytes).toEqual(Uint8Array.of(0xc1));
		}
	});

	test("partitions that are added are read from their beginning", async () => {
		const consumer = consumerOf({ from: "latest" });
		await consumer.ready();
		broker.grow("a", 2);
		broker.append("a", 1, ["new"]);
		expect(await take(consumer, 1)).toEqual(["new"]);
	});

	test("told of each time all is read", async () => {
		const ends: number[] = [];
		broker.append("a", 0, numbered(3));
		const consumer = consumerOf({ onCaughtUp: (_topic, _partition, end) => ends.push(end) });
		expect(await take(consumer, 3)).toEqual(numbered(3));
		const next = take(consumer, 1);
		await expect.poll(() => ends).toEqual([3]);
		broker.append("a", 0, ["x"]);
		await next;
	});
});

test("a busy loop over records lets timers fire", async () => {
	broker.append("a", 0, numbered(4_000));
	const consumer = consumerOf({ until: "end" });
	await consumer.ready();
	let ticks = 0;
	const timer = setInterval(() => ticks++, 1);
	for await (const record of consumer) {
		const until = performance.now() + 0.05;
		while (performance.now() < until) void record;
	}
	clearInterval(timer);
	// 200 ms of work, all of which has arrived before: without pauses there would be no tick at all.
	expect(ticks).toBeGreaterThan(5);
});

describe("credit", () => {
	test("a reader that stops gets no more than its share", async () => {
		const value = Buffer.alloc(1_000);
		broker.append("a", 0, Array(2_000).fill(value));
		const consumer = client.consumer({
			topics: "a",
			from: "earliest",
			codec: "bytes",
			bufferBytesMax: 100_000,
			until: "end",
		});
		const iterator = consumer[Symbol.asyncIterator]();
		await iterator.next();
		await new Promise((resolve) => setTimeout(resolve, 50));
		expect(broker.requests.filter(([operation]) => operation === 5)).toEqual([]);
		let count = 1;
		for await (const { valueBytes } of consumer) {
			expect(valueBytes?.length).toBe(1_000);
			count++;
		}
		expect(count).toBe(2_000);
		expect(broker.overCredit).toBe(0);
		const credits = broker.requests.filter(([operation]) => operation === 5);
		const given = credits.reduce((sum, frame) => sum + Number(frame[3]), 0);
		expect(given).toBeGreaterThan(1_800_000);
		expect(credits.length).toBeLessThan(100);
	});
});

describe("steering", () => {
	test("seek goes back and forth, and drops what had arrived", async () => {
		broker.append("a", 0, numbered(500));
		const consumer = consumerOf();
		expect(await take(consumer, 250)).toEqual(numbered(250));
		expect(consumer.position("a", 0)).toBe(250);
		consumer.seek("a", 0, { offset: 10 });
		expect(await take(consumer, 2)).toEqual(["r10", "r11"]);
		consumer.seek("a", 0, { offset: 499 });
		expect(await take(consumer, 1)).toEqual(["r499"]);
		expect(() => consumer.seek("a", 9, "earliest")).toThrow(
			expect.objectContaining({ code: "UNKNOWN_TOPIC_OR_PARTITION" }),
		);
	});

	test("a paused partition is silent until it is resumed, and loses nothing", async () => {
		broker.append("many", 0, numbered(150));
		broker.append("many", 1, numbered(150, 1_000));
		const consumer = consumerOf({ topics: "many" });
		const seen = [await take(consumer, 1)].flat();
		consumer.pause("many", 0);
		seen.push(...(await take(consumer, 140)));
		expect(seen.slice(1)).toEqual(numbered(150, 1_000).slice(0, 140));
		consumer.resume("many", 0);
		seen.push(...(await take(consumer, 159)));
		expect(seen.filter((value) => Number(value?.slice(1)) < 1_000)).toEqual(numbered(150));
	});

	test("what comes when a waiting iterator was left goes to others", async () => {
		const consumer = consumerOf();
		const left = consumer[Symbol.asyncIterator]();
		const waiting = left.next();
		await consumer.ready();
		await left.return?.();
		broker.append("a", 0, numbered(3));
		expect(await take(consumer, 2)).toEqual(["r0", "r1"]);
		expect(await waiting).toEqual({ done: true, value: undefined });
		expect(await left.next()).toEqual({ done: true, value: undefined });
		expect(await take(consumer, 1)).toEqual(["r2"]);
	});

	test("close ends a loop that waits; abort throws the signal's reason", async () => {
		const consumer = consumerOf();
		const loop = take(consumer, 1);
		await consumer.ready();
		await consumer.close();
		expect(await loop).toEqual([]);
		const controller = new AbortController();
		const aborted = take(consumerOf({ signal: controller.signal }), 1);
		setTimeout(() => controller.abort(new Error("enough")), 10);
		await expect(aborted).rejects.toThrow("enough");
	});
});

describe("when something goes wrong", () => {
	test("a lost connection is resumed without a record missing or twice", async () => {
		const total = 3_000;
		broker.append("a", 0, numbered(total));
		broker.append("many", 0, numbered(total, 10_000));
		const consumer = consumerOf({ topics: ["a", "many"], until: "end", bufferBytesMax: 40_000 });
		const seen: string[] = [];
		for await (const { value } of consumer) {
			seen.push(value as string);
			if (seen.length % 700 === 0) {
				// Of a client that has just come back, else nothing would be cut.
				await expect.poll(() => broker.hellos.length).toBe(seen.length / 700);
				broker.cut();
			}
			if (seen.length % 100 === 0) await new Promise((resolve) => setTimeout(resolve, 1));
		}
		const small = seen.filter((value) => Number(value.slice(1)) < 10_000);
		expect(small).toEqual(numbered(total));
		expect(seen.length).toBe(total * 2);
		await expect.poll(() => broker.hellos.length).toBe(1 + Math.floor(seen.length / 700));
	});

	test("a damaged range throws once; the next loop goes on behind it", async () => {
		broker.append("a", 0, numbered(300));
		broker.partition("a").damaged = [120, 140];
		const consumer = consumerOf({ until: "end" });
		const seen: (string | null)[] = [];
		const read = async (): Promise<void> => {
			for await (const { value } of consumer) seen.push(value);
		};
		await expect(read()).rejects.toMatchObject({ code: "DAMAGED_RANGE", topic: "a", partition: 0 });
		await read();
		expect(seen).toEqual([...numbered(120), ...numbered(160, 140)]);
	});

	test("with onGap the loop goes on", async () => {
		broker.append("a", 0, numbered(300));
		broker.partition("a").damaged = [0, 290];
		const gaps: Gap[] = [];
		const consumer = consumerOf({ until: "end", onGap: (gap) => gaps.push(gap) });
		expect(await take(consumer, 100)).toEqual(numbered(10, 290));
		expect(gaps).toMatchObject([{ topic: "a", partition: 0, from: 0, to: 290 }]);
	});

	test("an offset that is gone: an error, or a gap where that is asked for", async () => {
		broker.append("a", 0, numbered(100));
		broker.partition("a").logStart = 50;
		const consumer = consumerOf({ from: { offset: 10 } });
		await expect(take(consumer, 1)).rejects.toMatchObject({
			code: "OFFSET_OUT_OF_RANGE",
			topic: "a",
			partition: 0,
		});
		consumer.seek("a", 0, "earliest");
		expect(await take(consumer, 1)).toEqual(["r50"]);
		const gaps: Gap[] = [];
		const lenient = consumerOf({
			from: { offset: 10 },
			onOutOfRange: "earliest",
			onGap: (gap: Gap) => gaps.push(gap),
		});
		expect(await take(lenient, 1)).toEqual(["r50"]);
		expect(gaps[0]).toMatchObject({ from: 10, to: 50, error: { code: "OFFSET_OUT_OF_RANGE" } });
	});

	test("an offset that is gone is told of, too, where nothing is left to read", async () => {
		broker.append("a", 0, numbered(100));
		broker.partition("a").logStart = 50;
		const gaps: Gap[] = [];
		const consumer = consumerOf({
			from: { offset: 10 },
			onOutOfRange: "latest",
			until: "end",
			onGap: (gap: Gap) => gaps.push(gap),
		});
		await consumer.ready();
		expect(await take(consumer, 1)).toEqual([]);
		expect(gaps).toMatchObject([{ from: 10, to: 100 }]);
	});

	test("an offset behind the end is no gap: nothing is missing", async () => {
		broker.append("a", 0, numbered(4));
		const gaps: Gap[] = [];
		const consumer = consumerOf({
			from: { offset: 100 },
			onOutOfRange: "earliest",
			until: "end",
			onGap: (gap: Gap) => gaps.push(gap),
		});
		expect(await take(consumer, 5)).toEqual(numbered(4));
		expect(consumer.position("a", 0)).toBe(4);
		const steered = consumerOf({ onOutOfRange: "latest", onGap: (gap: Gap) => gaps.push(gap) });
		await steered.ready();
		steered.seek("a", 0, { offset: 100 });
		const next = take(steered, 1);
		await client.topics.describe("a");
		broker.append("a", 0, ["new"]);
		expect(await next).toEqual(["new"]);
		expect(steered.position("a", 0)).toBe(5);
		expect(gaps).toEqual([]);
	});

	/** Tells that a partition's subscription has ended, and resolves when that has come. */
	async function endSubscription(partition: number): Promise<void> {
		const subscribes = broker.requests.filter(([operation]) => operation === 4);
		const sub = subscribes.find(([, , , , number]) => number === partition)?.[2];
		broker.tell(135, sub, 1, { name: "OFFSET_OUT_OF_RANGE", message: "gone", retriable: false });
		await client.topics.describe("many");
	}

	test("until the end: a partition that failed is told of when others are at theirs", async () => {
		for (const partition of [0, 1, 2])
			broker.append("many", partition, numbered(3, 10 * partition));
		const topics = { topic: "many", partitions: [0, 1, 2] };
		const consumer = consumerOf({ topics, until: "end" });
		await consumer.ready();
		await endSubscription(1);
		await endSubscription(2);
		const seen: (string | null)[] = [];
		const read = async () => {
			for await (const { value } of consumer) seen.push(value);
		};
		await expect(read()).rejects.toMatchObject({ code: "OFFSET_OUT_OF_RANGE", partition: 1 });
		await expect(read()).rejects.toMatchObject({ code: "OFFSET_OUT_OF_RANGE", partition: 2 });
		expect(seen).toEqual([...numbered(3), ...numbered(3, 10), ...numbered(3, 20)]);
		// The last one's error is the end.
		await expect(read()).rejects.toMatchObject({ code: "OFFSET_OUT_OF_RANGE", partition: 2 });
	});

	test("until the end: a partition that fails while others are at theirs is told of", async () => {
		broker.append("many", 1, numbered(3));
		const consumer = consumerOf({
			topics: { topic: "many", partitions: [0, 1] },
			from: (_topic: string, partition: number) => (partition === 0 ? { offset: 10 } : "latest"),
			until: "end",
		});
		await consumer.ready();
		await expect(take(consumer, 1)).rejects.toMatchObject({
			code: "OFFSET_OUT_OF_RANGE",
			partition: 0,
		});
	});

	test("until the end: a paused partition that failed is told of when it is resumed", async () => {
		for (const partition of [0, 1]) broker.append("many", partition, numbered(3));
		const topics = { topic: "many", partitions: [0, 1] };
		const consumer = consumerOf({ topics, until: "end" });
		await consumer.ready();
		consumer.pause("many", 1);
		await endSubscription(1);
		const seen = take(consumer, 7);
		await client.topics.describe("many");
		consumer.resume();
		await expect(seen).rejects.toMatchObject({ code: "OFFSET_OUT_OF_RANGE", partition: 1 });
	});

	test("who waits for the start is told when the consumer is closed before it", async () => {
		broker.ignored = 4;
		const consumer = consumerOf();
		const told = consumer.ready().catch((error: unknown) => error);
		const subscribes = () => broker.requests.filter(([operation]) => operation === 4).length;
		await expect.poll(subscribes).toBe(1);
		await broker.kill();
		await consumer.close();
		const outcome = await Promise.race([told, turn("it waits")]);
		expect(outcome).toMatchObject({ code: "CLOSED" });
	});

	test("a topic that is absent, or deleted and created again, throws", async () => {
		await expect(take(consumerOf({ topics: "absent" }), 1)).rejects.toMatchObject({
			code: "UNKNOWN_TOPIC_OR_PARTITION",
			topic: "absent",
		});
		broker.append("a", 0, numbered(1));
		const consumer = consumerOf();
		expect(await take(consumer, 1)).toEqual(["r0"]);
		broker.cut();
		broker.create("a", 1);
		broker.append("a", 0, numbered(5));
		await expect(take(consumer, 1)).rejects.toMatchObject({ code: "TOPIC_DELETED", topic: "a" });
	});

	test("an ended subscription throws behind what had arrived", async () => {
		broker.append("a", 0, numbered(3));
		const consumer = consumerOf();
		await consumer.ready();
		const sub = broker.requests.find(([operation]) => operation === 4)?.[2];
		broker.tell(135, sub, 1010, { name: "TOPIC_DELETED", message: "gone", retriable: false });
		await client.topics.describe("a");
		expect(await take(consumer, 3)).toEqual(numbered(3));
		await expect(take(consumer, 1)).rejects.toMatchObject({ code: "TOPIC_DELETED" });
	});
});
