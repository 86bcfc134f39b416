import { setImmediate as nextTurn } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, onTestFinished, test } from "vitest";
import {
	type Ack,
	type Client,
	connect,
	type MillraceError,
	type Producer,
} from "../../src/client/index.ts";
import { murmur2, partitionOfHash } from "../../src/client/producer/murmur2.ts";
import { ScriptedBroker } from "./scripted-broker.ts";

let broker: ScriptedBroker;
let client: Client;

beforeEach(async () => {
	broker = await ScriptedBroker.start();
	broker.create("a", 1);
	broker.create("many", 8);
	client = await connect(broker.url, { reconnectMsFirst: 5, reconnectMsMax: 20 });
});

afterEach(async () => {
	await client.close({ signal: AbortSignal.timeout(1) }).catch(() => undefined);
	await broker.kill();
});

/** Sends numbered strings one by one without waiting, and returns how each ended. */
function sendAll(count: number, options: { topic?: string; deliveryTimeoutMs?: number } = {}) {
	const { topic = "a", ...rest } = options;
	const producer = client.producer<string>({ codec: "string", ...rest });
	const acks: Promise<Ack>[] = [];
	for (let index = 0; index < count; index++) {
		acks.push(producer.send({ topic, value: `r${index}`, key: `k${index % 10}` }));
	}
	return acks;
}

/** Numbers from 0 to 1, the same for the same seed. */
function randomOf(seed: number): () => number {
	let state = seed;
	return () => {
		state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fffffff;
		return state / 0x80000000;
	};
}

const numberOf = (text: string) => Number(text.slice(text.indexOf(":") + 1));

const numbered = (count: number) => Array.from({ length: count }, (_, index) => `r${index}`);

describe("sending", () => {
	test("an ack says where the record is and what it has reached", async () => {
		broker.ackReached = 2;
		const producer = client.producer();
		expect(await producer.send({ topic: "a", value: { hello: "world" } })).toEqual({
			partition: 0,
			offset: 0,
			durability: "flushed",
		});
		expect((await producer.send({ topic: "a", value: null, key: "k" })).offset).toBe(1);
		expect(broker.partition("a").records[1]?.value).toBeNull();
	});

	test("records sent in one go share a frame", async () => {
		await Promise.all(sendAll(1_000));
		expect(broker.texts("a")).toEqual(numbered(1_000));
		expect(broker.frames.length).toBeLessThanOrEqual(4);
	});

	test("sendBatch answers with one ack a record, in order, over all partitions", async () => {
		const producer = client.producer<string>({ codec: "string" });
		const records = numbered(500).map((value) => ({ value, key: `key-${value}` }));
		const acks = await producer.sendBatch("many", records);
		for (const [index, { value, key }] of records.entries()) {
			const partition = partitionOfHash(murmur2(Buffer.from(key)), 8);
			expect(acks[index]?.partition).toBe(partition);
			const { offset } = acks[index] as { offset: number };
			expect(broker.texts("many", partition)[offset]).toBe(value);
		}
		expect(await producer.sendBatch("many", [])).toEqual([]);
	});

	test("key, timestamp and headers arrive as they were given", async () => {
		const producer = client.producer<Uint8Array>({ codec: "bytes" });
		await producer.send({
			topic: "a",
			value: Uint8Array.of(0, 255),
			key: Uint8Array.of(9),
			timestamp: new Date(1_234_567_890_123),
			headers: { text: "é", none: null, bytes: Uint8Array.of(1) },
		});
		expect(broker.partition("a").records[0]).toEqual({
			value: Buffer.of(0, 255),
			key: Buffer.of(9),
			timestamp: 1_234_567_890_123,
			headers: [
				["text", Buffer.from("é")],
				["none", null],
				["bytes", Buffer.of(1)],
			],
		});
	});

	test("records without a key change partition from frame to frame", async () => {
		const producer = client.producer<string>({ codec: "string" });
		for (let round = 0; round < 8; round++) {
			await producer.sendBatch("many", [{ value: "x" }, { value: "y" }]);
		}
		const sizes = Array.from({ length: 8 }, (_, index) => broker.texts("many", index).length);
		expect(sizes).toEqual(Array(8).fill(2));
	});

	test("a named partition is used, and one that is not there is refused", async () => {
		const producer = client.producer<string>({ codec: "string" });
		expect((await producer.send({ topic: "many", value: "x", partition: 5 })).partition).toBe(5);
		await expect(producer.send({ topic: "many", value: "x", partition: 8 })).rejects.toMatchObject({
			code: "UNKNOWN_TOPIC_OR_PARTITION",
			topic: "many",
			partition: 8,
		});
	});

	test("new partitions are picked up", async () => {
		const producer = client.producer<string>({ codec: "string" });
		await producer.send({ topic: "a", value: "x" });
		broker.grow("a", 3);
		await client.topics.describe("a");
		expect((await producer.send({ topic: "a", value: "x", partition: 2 })).partition).toBe(2);
	});

	test("a value that cannot be represented is refused alone", async () => {
		const producer = client.producer();
		await producer.send({ topic: "a", value: 1 });
		const bad = producer.send({ topic: "a", value: { deep: [1n] } });
		const good = producer.send({ topic: "a", value: 2 });
		await expect(bad).rejects.toMatchObject({ code: "UNREPRESENTABLE_VALUE", retriable: false });
		expect((await good).offset).toBe(1);
		await expect(producer.send({ topic: "a", value: undefined })).rejects.toMatchObject({
			code: "UNREPRESENTABLE_VALUE",
		});
	});

	test("compression is asked of no broker that has not said it can", () => {
		expect(() => client.producer({ compression: "zstd" })).toThrow(
			expect.objectContaining({ code: "UNSUPPORTED_OPERATION" }),
		);
		expect(() => client.producer({ compression: "toString" as "zstd" })).toThrow(
			/one of none, gzip/,
		);
		expect(client.producer({ compression: "none" }).bodyFormat).toBe(1);
	});

	test("too large a record, and an impossible topic, are refused at once", async () => {
		const producer = client.producer<Uint8Array>({ codec: "bytes" });
		const value = new Uint8Array(broker.limits.record_bytes_max + 1);
		await expect(producer.send({ topic: "a", value })).rejects.toMatchObject({
			code: "MESSAGE_TOO_LARGE",
		});
		const small = new Uint8Array(1);
		await expect(producer.send({ topic: "../x", value: small })).rejects.toMatchObject({
			code: "INVALID_TOPIC_EXCEPTION",
		});
		await expect(producer.send({ topic: "absent", value: small })).rejects.toMatchObject({
			code: "UNKNOWN_TOPIC_OR_PARTITION",
			topic: "absent",
		});
	});

	test("large records make frames of their own, within the topic's max.message.bytes", async () => {
		const producer = client.producer<Uint8Array>({ codec: "bytes" });
		const records = Array.from({ length: 20 }, (_, index) => ({
			value: new Uint8Array(150_000).fill(index),
		}));
		await producer.sendBatch("a", records);
		expect(broker.partition("a").records.map(({ value }) => value?.[149_999])).toEqual(
			records.map((_, index) => index),
		);
		for (const { bytes } of broker.frames) expect(bytes).toBeLessThan(400_000);
	});
});

describe("bounds", () => {
	test("unanswered frames stay within the announced requests and bytes", async () => {
		await client.close();
		broker.limits.in_flight_requests_max = 3;
		broker.limits.in_flight_bytes_max = 600_000;
		let unanswered = 0;
		let most = 0;
		broker.onProduce = async (entries) => {
			const bytes = entries.flatMap(({ records }) => records);
			const size = bytes.reduce((sum, { value }) => sum + (value?.length ?? 0), 0);
			unanswered += size;
			most = Math.max(most, unanswered);
			await new Promise((resolve) => setTimeout(resolve, 2));
			unanswered -= size;
			return "answer" as const;
		};
		client = await connect(broker.url);
		const producer = client.producer<Uint8Array>({ codec: "bytes" });
		const value = new Uint8Array(1_000);
		for (let index = 0; index < 10_000; index++) {
			if (!producer.write({ topic: "many", value, key: `${index}` })) await producer.drained();
		}
		await producer.flush();
		expect(most).toBeLessThanOrEqual(600_000);
		expect(broker.unansweredMax).toBeLessThanOrEqual(3);
		const stored = Array.from({ length: 8 }, (_, index) => broker.texts("many", index).length);
		expect(stored.reduce((sum, count) => sum + count)).toBe(10_000);
	});

	test("write says when the buffer is full; drained() waits for room", async () => {
		let release = (): void => undefined;
		const held = new Promise<void>((resolve) => {
			release = resolve;
		});
		broker.onProduce = () => held.then(() => "answer" as const);
		const producer = client.producer<Uint8Array>({ codec: "bytes", bufferBytesMax: 10_000 });
		const value = new Uint8Array(1_000);
		let written = 1;
		while (producer.write({ topic: "a", value })) written++;
		expect(written).toBe(10);
		expect(() => producer.write({ topic: "a", value })).toThrow(
			expect.objectContaining({ code: "BUFFER_FULL", retriable: true }),
		);
		await expect(producer.send({ topic: "a", value })).rejects.toMatchObject({
			code: "BUFFER_FULL",
		});
		await expect(producer.drained({ signal: AbortSignal.timeout(20) })).rejects.toMatchObject({
			name: "TimeoutError",
		});
		release();
		await producer.drained();
		expect(producer.bufferedBytes).toBeLessThanOrEqual(5_000);
		await producer.flush();
		expect(broker.partition("a").records.length).toBe(10);
	});

	test("at most five batches of a partition are unanswered, at first one", async () => {
		const seen: number[] = [];
		let unanswered = 0;
		let fill = (): void => undefined;
		const filled = new Promise<void>((resolve) => {
			fill = resolve;
		});
		broker.onProduce = async (_, frame) => {
			seen.push(++unanswered);
			if (unanswered === 5) fill();
			// Answered when there are five, and time for a sixth to come.
			if (frame > 0) await filled;
			await new Promise((resolve) => setTimeout(resolve, 5));
			unanswered--;
			return "answer" as const;
		};
		const producer = client.producer<Uint8Array>({ codec: "bytes" });
		const value = new Uint8Array(100_000);
		await producer.sendBatch("a", Array(60).fill({ value }));
		expect(seen[0]).toBe(1);
		expect(seen[1]).toBe(1);
		expect(Math.max(...seen)).toBe(5);
	});
});

describe("lost connections", () => {
	test("what was not answered is repeated under the same numbers", async () => {
		broker.onProduce = (_, frame) =>
			frame === 1 ? "store_and_lose" : frame === 3 ? "lose" : "answer";
		const producer = client.producer<string>({ codec: "string" });
		const values: string[] = [];
		for (let round = 0; round < 6; round++) {
			const records = numbered(50).map((value) => ({ value: `${round}-${value}` }));
			values.push(...records.map(({ value }) => value));
			const acks = await producer.sendBatch("a", records);
			expect(acks.map(({ offset }) => offset)).toEqual(records.map((_, i) => round * 50 + i));
		}
		expect(broker.texts("a")).toEqual(values);
		expect(new Set(broker.frames.map(({ producerId }) => producerId)).size).toBe(1);
	});

	test.each([1, 2, 3, 4, 5, 6, 7, 8])(
		"random cuts lose and double nothing (seed %i)",
		async (seed) => {
			const random = randomOf(seed);
			broker.onProduce = async () => {
				await new Promise((resolve) => setTimeout(resolve, random() * 3));
				const dice = random();
				if (dice < 0.08) return "lose";
				if (dice < 0.16) return "store_and_lose";
				if (dice < 0.22) return 1007;
				return "answer";
			};
			const producer = client.producer<string>({ codec: "string" });
			const sent = new Map<string, string[]>();
			const pending: Promise<unknown>[] = [];
			for (let index = 0; index < 2_000; index++) {
				const key = `k${Math.floor(random() * 20)}`;
				const value = `${key}:${index}`;
				sent.set(key, [...(sent.get(key) ?? []), value]);
				pending.push(producer.send({ topic: "many", key, value }));
				if (index % 50 === 0) await new Promise((resolve) => setTimeout(resolve, 1));
			}
			await Promise.all(pending);
			const stored = new Map<string, string[]>();
			for (let partition = 0; partition < 8; partition++) {
				for (const text of broker.texts("many", partition)) {
					const key = text.slice(0, text.indexOf(":"));
					stored.set(key, [...(stored.get(key) ?? []), text]);
				}
			}
			expect(stored).toEqual(sent);
		},
	);

	test.each([11, 12, 13, 14, 15, 16])(
		"whatever fails: what was acknowledged is stored once, in order (seed %i)",
		async (seed) => {
			const random = randomOf(seed);
			const course: string[] = [];
			broker.onProduce = async (entries, frame) => {
				await new Promise((resolve) => setTimeout(resolve, random() * 2));
				const dice = Math.floor(random() * 60);
				const actions = ["lose", "store_and_lose", 1007, 87, 59, 47, 7, 56, "ignore"] as const;
				const action = actions[dice] ?? "answer";
				const { producerId } = broker.frames[frame] ?? {};
				const told = entries.map(({ partition, baseSequence, records }) => {
					return `${partition}#${baseSequence}[${records.map(({ value }) => String(value))}]`;
				});
				course.push(`frame ${frame} of ${producerId}, ${action}: ${told.join(" ")}`);
				return action;
			};
			const producer = client.producer<string>({ codec: "string", deliveryTimeoutMs: 300 });
			const acked = new Map<string, string[]>();
			const pending: Promise<unknown>[] = [];
			const send = (key: string, value: string): Promise<void> =>
				producer.send({ topic: "many", key, value }).then(
					() => void acked.set(key, [...(acked.get(key) ?? []), value]),
					() => undefined, // what failed may be stored or not, but never twice
				);
			for (let index = 0; index < 1_500; index++) {
				const key = `k${Math.floor(random() * 20)}`;
				pending.push(send(key, `${key}:${index}`));
				if (index % 20 === 0) await new Promise((resolve) => setTimeout(resolve, 1));
			}
			await Promise.all(pending);
			// Sometimes all of them have timed out behind one that nobody answered. Then all is well.
			broker.onProduce = () => "answer";
			const after = client.producer<string>({ codec: "string" });
			for (let key = 0; key < 20; key++) {
				const value = `k${key}:${1_500 + key}`;
				await after.send({ topic: "many", key: `k${key}`, value });
				acked.set(`k${key}`, [...(acked.get(`k${key}`) ?? []), value]);
			}
			const stored: string[] = [];
			for (let partition = 0; partition < 8; partition++) {
				stored.push(...broker.texts("many", partition));
			}
			expect(new Set(stored).size, course.join("\n")).toBe(stored.length);
			for (const [key, values] of acked) {
				const wanted = new Set(values);
				const ofKey = stored.filter((text) => text.startsWith(`${key}:`) && wanted.has(text));
				expect(ofKey, course.join("\n")).toEqual(
					values.toSorted((a, b) => numberOf(a) - numberOf(b)),
				);
			}
		},
	);

	test("records written while disconnected are sent when the broker is back", async () => {
		const producer = client.producer<string>({ codec: "string", bufferBytesMax: 2_000 });
		await producer.send({ topic: "a", value: "first" });
		await broker.kill();
		let written = 0;
		while (producer.write({ topic: "a", value: `r${written++}` }));
		expect(() => producer.write({ topic: "a", value: "x" })).toThrow(
			expect.objectContaining({ code: "BUFFER_FULL" }),
		);
		await broker.listen();
		await producer.flush();
		expect(broker.texts("a")).toEqual(["first", ...numbered(written)]);
	});
});

describe("failures", () => {
	test("a refused batch fails its records only; those behind it are numbered anew", async () => {
		broker.onProduce = (_, frame) => (frame === 1 ? 87 : "answer");
		const producer = client.producer<string>({ codec: "string" });
		const errors: [string | null, string][] = [];
		const writer = client.producer<string>({
			codec: "string",
			onError: ({ value }, error) => errors.push([value, (error as MillraceError).code]),
		});
		await producer.send({ topic: "a", value: "one" });
		writer.write({ topic: "a", value: "bad" });
		await writer.flush();
		expect(errors).toEqual([["bad", "INVALID_RECORD"]]);
		const { offset } = await producer.send({ topic: "a", value: "two" });
		expect(offset).toBe(1);
		expect(broker.texts("a")).toEqual(["one", "two"]);
		expect(broker.hellos.length).toBe(1);
	});

	test("write's failures without onError reject the next flush, once", async () => {
		broker.onProduce = (_, frame) => (frame === 0 ? 29 : "answer");
		const producer = client.producer<string>({ codec: "string" });
		producer.write({ topic: "a", value: "x" });
		await expect(producer.flush()).rejects.toMatchObject({
			code: "TOPIC_AUTHORIZATION_FAILED",
			topic: "a",
			partition: 0,
		});
		await producer.flush();
	});

	test("a disk that is full for a while delays, and keeps the order", async () => {
		broker.onProduce = (_, frame) => (frame > 0 && frame < 6 ? 1007 : "answer");
		const producer = client.producer<Uint8Array>({ codec: "bytes" });
		const records = Array.from({ length: 12 }, (_, index) => ({
			value: new Uint8Array(200_000).fill(index),
		}));
		await producer.sendBatch("a", records);
		const firsts = broker.partition("a").records.map(({ value }) => value?.[0]);
		expect(firsts).toEqual(records.map((_, index) => index));
	});

	test("what may be stored is settled before anything new is numbered", async () => {
		let refusals = 8;
		broker.onProduce = ([entry], frame) => {
			const isFirst = String(entry?.records[0]?.value) === "first";
			if (isFirst && frame === 1) return "store_and_lose";
			return isFirst && refusals-- > 0 ? 1007 : "answer";
		};
		const producer = client.producer<string>({ codec: "string" });
		await producer.send({ topic: "a", value: "before" });
		const values = ["first", ...numbered(7)];
		const sent: Promise<Ack>[] = [];
		for (const value of values) {
			sent.push(producer.send({ topic: "a", value }));
			await new Promise((resolve) => setTimeout(resolve, 30));
		}
		await Promise.all(sent);
		// The broker knows a producer's last five batches: it must not forget the first one.
		expect(broker.texts("a")).toEqual(["before", ...values]);
	});

	test("what a lost connection may still bring is not stored under another identity", async () => {
		let arrive = (): void => undefined;
		const late = new Promise<void>((resolve) => {
			arrive = resolve;
		});
		broker.onProduce = async (_, frame) => {
			if (frame === 2) broker.cut();
			if (frame === 1 || frame === 2) await late;
			return frame === 3 ? 59 : "answer";
		};
		const producer = client.producer<string>({ codec: "string" });
		await producer.send({ topic: "a", value: "before" });
		const first = producer.send({ topic: "a", value: "first" });
		await new Promise((resolve) => setTimeout(resolve, 2));
		const second = producer.send({ topic: "a", value: "second" });
		await expect(first).rejects.toMatchObject({ code: "UNKNOWN_PRODUCER_ID" });
		await expect(second).rejects.toMatchObject({
			code: "CONNECTION_LOST",
			retriable: true,
			topic: "a",
			message: expect.stringContaining("may be stored"),
		});
		await producer.send({ topic: "a", value: "after" });
		arrive();
		await producer.send({ topic: "a", value: "last" });
		expect(broker.texts("a")).toEqual(["before", "after", "first", "second", "last"]);
	});

	test("a frame that failed as a whole may be stored, whatever it failed with", async () => {
		// The broker waits for a flush, and one of the frame's topics is deleted meanwhile.
		const failed = { refused: 1010, isStored: true };
		broker.onProduce = (_, frame) => (frame === 1 ? failed : "answer");
		const producer = client.producer<string>({ codec: "string" });
		const values = ["one", "two", "three"];
		for (const [index, value] of values.entries()) {
			expect((await producer.send({ topic: "a", value })).offset).toBe(index);
		}
		expect(broker.texts("a")).toEqual(values);
		expect(broker.hellos.length).toBe(1);
	});

	test("what may be stored is not repeated to a broker that forgot the producer", async () => {
		broker.onProduce = (_, frame) =>
			frame === 1 ? { refused: 56, isStored: true } : frame === 2 ? 59 : "answer";
		const producer = client.producer<string>({ codec: "string" });
		await producer.send({ topic: "a", value: "one" });
		await expect(producer.send({ topic: "a", value: "unsure" })).rejects.toMatchObject({
			code: "UNKNOWN_PRODUCER_ID",
		});
		await producer.send({ topic: "a", value: "two" });
		expect(broker.texts("a")).toEqual(["one", "unsure", "two"]);
	});

	test("numbering goes on from the first batch that is left", async () => {
		broker.onProduce = (_, frame) => (frame === 1 ? 1007 : frame === 2 ? 87 : "answer");
		const producer = client.producer<string>({ codec: "string" });
		await producer.send({ topic: "a", value: "one" });
		const delayed = producer.send({ topic: "a", value: "two" });
		await new Promise((resolve) => queueMicrotask(() => resolve(undefined)));
		const refused = producer.send({ topic: "a", value: "bad" });
		await expect(refused).rejects.toMatchObject({ code: "INVALID_RECORD" });
		await delayed;
		expect(broker.texts("a")).toEqual(["one", "two"]);
		expect(broker.hellos.length).toBe(1);
	});

	test("records that time out before they were sent leave no hole", async () => {
		const [patient, hasty] = [120_000, 100].map((deliveryTimeoutMs) =>
			client.producer<string>({ codec: "string", deliveryTimeoutMs }),
		) as [Producer<string>, Producer<string>];
		await patient.send({ topic: "a", value: "one" });
		await broker.kill();
		await expect.poll(() => client.state).toBe("connecting");
		await expect(hasty.send({ topic: "a", value: "late" })).rejects.toMatchObject({
			code: "DELIVERY_TIMEOUT",
		});
		await broker.listen();
		await patient.send({ topic: "a", value: "two" });
		expect(broker.texts("a")).toEqual(["one", "two"]);
		expect(new Set(broker.frames.map(({ producerId }) => producerId)).size).toBe(1);
	});

	test("a broker that lost its tail is met with another identity", async () => {
		const producer = client.producer<string>({ codec: "string" });
		for (const value of ["a", "b", "c"]) await producer.send({ topic: "a", value });
		const partition = broker.partition("a");
		partition.records.length = 1;
		for (const written of partition.producers.values()) written.length = 1;
		await producer.send({ topic: "a", value: "d" });
		expect(broker.texts("a")).toEqual(["a", "d"]);
		expect(broker.hellos.length).toBe(2);
		expect(broker.hellos[1]?.producer).toBeUndefined();
	});

	test("an unknown producer id: numbered anew, unless a copy may be stored", async () => {
		broker.onProduce = (_, frame) =>
			frame === 1 ? 59 : frame === 4 ? "lose" : frame === 5 ? 59 : "answer";
		const producer = client.producer<string>({ codec: "string" });
		await producer.send({ topic: "a", value: "one" });
		await producer.send({ topic: "a", value: "two" });
		await producer.send({ topic: "a", value: "three" });
		await expect(producer.send({ topic: "a", value: "unsure" })).rejects.toMatchObject({
			code: "UNKNOWN_PRODUCER_ID",
		});
		await producer.send({ topic: "a", value: "four" });
		expect(broker.texts("a")).toEqual(["one", "two", "three", "four"]);
	});

	test("a topic that was deleted fails what waits for it; created again, it works", async () => {
		const producer = client.producer<string>({ codec: "string" });
		await producer.send({ topic: "a", value: "one" });
		broker.topics.delete("a");
		await expect(producer.send({ topic: "a", value: "two" })).rejects.toMatchObject({
			code: "UNKNOWN_TOPIC_OR_PARTITION",
			topic: "a",
		});
		broker.create("a", 1);
		await producer.send({ topic: "a", value: "three" });
		expect(broker.texts("a")).toEqual(["three"]);
	});

	test("so does what is written while it is asked for again, and nothing joins that", async () => {
		const producer = client.producer<string>({ codec: "string" });
		await producer.send({ topic: "a", value: "one" });
		broker.topics.delete("a");
		const failures: Promise<unknown>[] = [];
		const failure = (value: string) =>
			producer.send({ topic: "a", value }).catch(({ code }: MillraceError) => code);
		broker.requests.push = (...frames: unknown[][]) => {
			// The question whether there is such a topic.
			if (frames[0]?.[0] === 2) failures.push(failure("three"));
			return Array.prototype.push.apply(broker.requests, frames);
		};
		expect(await failure("two")).toBe("UNKNOWN_TOPIC_OR_PARTITION");
		expect(await Promise.all(failures)).toEqual(["UNKNOWN_TOPIC_OR_PARTITION"]);
		broker.create("a", 1);
		await producer.send({ topic: "a", value: "four" });
		expect(broker.texts("a")).toEqual(["four"]);
		expect(producer.bufferedBytes).toBe(0);
	});

	test("a client that connects again does not have a deleted topic created", async () => {
		const producer = client.producer<string>({ codec: "string" });
		await producer.send({ topic: "a", value: "one" });
		await client.consumer({ topics: "a" }).ready();
		broker.cut();
		await expect.poll(() => broker.hellos.length).toBe(2);
		await client.topics.list();
		const opens = broker.requests.filter(([operation]) => operation === 2);
		const [first, ...later] = opens.map(([, , , options]) => options);
		expect(first).toEqual({ create: true });
		expect(new Set(later.map((options) => JSON.stringify(options)))).toEqual(
			new Set([JSON.stringify({ create: false })]),
		);
	});

	test("what onError throws is the program's own, and costs the others nothing", async () => {
		const told: unknown[] = [];
		const thrown: unknown[] = [];
		const others = process.listeners("uncaughtException");
		process.removeAllListeners("uncaughtException");
		process.on("uncaughtException", (error) => thrown.push(error.message));
		onTestFinished(() => {
			process.removeAllListeners("uncaughtException");
			for (const other of others) process.on("uncaughtException", other);
		});
		const producer = client.producer<string>({
			codec: "string",
			onError: ({ value }) => {
				told.push(value);
				throw new Error(`not ${value}`);
			},
		});
		await producer.send({ topic: "a", value: "one" });
		broker.onProduce = () => 87;
		producer.write({ topic: "a", value: "two" });
		producer.write({ topic: "a", value: "three" });
		await producer.flush();
		await expect.poll(() => thrown).toEqual(["not two", "not three"]);
		expect(told).toEqual(["two", "three"]);
		expect(broker.hellos, "on the same connection").toHaveLength(1);
	});
});

describe("closing", () => {
	test("close flushes, and refuses what comes after", async () => {
		const acks = sendAll(100);
		await client.close();
		expect((await Promise.all(acks)).length).toBe(100);
		expect(() => client.producer()).toThrow(expect.objectContaining({ code: "CLOSED" }));
	});

	test("aborting the client's signal fails at once what is not settled", async () => {
		const controller = new AbortController();
		broker.onProduce = () => "ignore";
		const other = await connect(broker.url, { signal: controller.signal });
		const producer = other.producer();
		const pending = producer.send({ topic: "a", value: 1 });
		await expect.poll(() => broker.frames.length).toBe(1);
		controller.abort(new Error("enough"));
		await expect(pending).rejects.toMatchObject({ code: "CLOSED" });
		expect(other.state).toBe("closed");
	});

	test("it does so while a record waits for its topic, too", async () => {
		broker.onProduce = () => "ignore";
		for (let turns = 0; turns < 8; turns++) {
			const controller = new AbortController();
			const other = await connect(broker.url, { signal: controller.signal });
			const pending = other.producer().send({ topic: "a", value: 1 });
			const failure = pending.catch((error: unknown) => error);
			// The question about the topic, its answer and the record may all be under way by then.
			for (let turn = 0; turn < turns; turn++) await nextTurn();
			controller.abort(new Error("enough"));
			expect(await failure).toMatchObject({ code: "CLOSED" });
		}
	});
});
