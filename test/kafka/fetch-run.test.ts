/** What one fetch reads and waits for, with real logs in memory. No view may stay lent. */
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { systemClock } from "../../src/clock.ts";
import { Exchange, type RequestOrigin } from "../../src/kafka/exchange.ts";
import { FetchProgress } from "../../src/kafka/fetch-progress.ts";
import {
	type FetchLimits,
	type FetchPartition,
	type FetchRead,
	FetchRun,
} from "../../src/kafka/fetch-run.ts";
import type { KafkaHost } from "../../src/kafka/host.ts";
import { EmbeddedMetadataStore } from "../../src/metadata/embedded-store.ts";
import { MetadataWriter } from "../../src/metadata/metadata-writer.ts";
import { CODES } from "../../src/protocol/codes.ts";
import { NO_AUTHORIZATION } from "../../src/security/authorizer.ts";
import { Peer } from "../../src/security/principal.ts";
import {
	PLAN_BASE_SEQUENCE,
	PLAN_BODY_BYTES,
	PLAN_BODY_START,
	PLAN_FORMAT,
	PLAN_PARTITION,
	PLAN_TOPIC_HANDLE,
} from "../../src/storage/layout.ts";
import { Storage } from "../../src/storage/storage.ts";
import { TopicCatalogue } from "../../src/topics/catalogue.ts";
import { recordBatch } from "../record-batch.ts";

/** A batch of one record of 1,000 bytes. */
const BATCH = recordBatch([Buffer.alloc(1_000)]);
const FORMAT_BATCH = 2;
const ACK_OF_TOPIC = -1;
const MUCH = 1_000_000;
/** Longer than anything takes that does not wait, however busy the machine is. */
const LONG_MS = 100_000;
const SHORT_MS = 60;

let storage: Storage;
let catalogue: TopicCatalogue;
let exchange: Exchange;
const logged: string[] = [];

beforeEach(async () => {
	storage = await Storage.open({ dataDir: "", memory: true, owner: true });
	const opened = await MetadataWriter.open(new EmbeddedMetadataStore(storage));
	catalogue = await TopicCatalogue.open(storage, opened, {
		partitionsDefault: 3,
		createsAutomatically: false,
		onDeletionFailed: (_, error) => {
			throw error;
		},
	});
	for (const name of ["a", "b"]) await catalogue.create({ name });
	exchange = newExchange(storage);
});

afterEach(async () => {
	exchange.end();
	expect(storage.viewsLent).toBe(0);
	await catalogue.close();
	await storage.close();
});

/** An exchange as a connection makes it, with the parts of the host that a fetch looks at. */
function newExchange(source: Pick<Storage, "readBatches">): Exchange {
	const log = { warn: (_: object, message: string) => logged.push(message) };
	const host = { storage: source, catalogue, clock: systemClock, log } as unknown as KafkaHost;
	const origin: RequestOrigin = {
		connectionId: 1,
		localAddress: "",
		localPort: 0,
		remoteAddress: "",
		sasl: null,
		progress: new FetchProgress(),
	};
	const header = { apiKey: 1, apiVersion: 12, correlationId: 1, clientId: "" };
	return new Exchange(host, origin, new Peer("", NO_AUTHORIZATION), header, Buffer.alloc(0));
}

/** Appends batches; resolves when they can be read. */
async function append(topic: string, partition = 0, count = 1): Promise<void> {
	for (let index = 0; index < count; index++) {
		const { plan } = storage;
		plan[PLAN_TOPIC_HANDLE] = catalogue.get(topic)?.handle as number;
		plan[PLAN_PARTITION] = partition;
		plan[PLAN_BASE_SEQUENCE] = -1;
		plan[PLAN_FORMAT] = FORMAT_BATCH;
		plan[PLAN_BODY_START] = 0;
		plan[PLAN_BODY_BYTES] = BATCH.length;
		const connection = storage.nextConnection();
		const token = storage.append(BATCH, 1, ACK_OF_TOPIC, null, -1, connection);
		if (token === 0) continue;
		await new Promise<void>((resolve, reject) => {
			storage.onToken(token, (code) => (code === 0 ? resolve() : reject(new Error(`${code}`))));
		});
	}
}

type Place = readonly [topic: string, partition: number, offset: number, bytesMax?: number];

function partitionsOf(places: readonly Place[], leaderEpoch = -1): FetchPartition[] {
	return places.map(([name, partition, offset, bytesMax = MUCH]) => {
		const target = { topic: name, partition, offset, bytesMax, leaderEpoch };
		const topic = catalogue.get(name);
		const { code } = topic === undefined ? CODES.UNKNOWN_TOPIC_OR_PARTITION : CODES.NONE;
		return { target, topic, code };
	});
}

const LIMITS_NOW: FetchLimits = { bytesMin: 1, bytesMax: MUCH, waitMsMax: 0 };

const fetch = (places: readonly Place[], limits: Partial<FetchLimits> = {}) =>
	new FetchRun(exchange, partitionsOf(places), { ...LIMITS_NOW, ...limits }).run();

/** How many whole batches each partition was read. */
const batches = (reads: readonly FetchRead[]) => reads.map(({ bytes }) => bytes / BATCH.length);

/** Fails unless `fetching` is still under way after a while. */
async function expectWaiting(fetching: Promise<unknown>): Promise<void> {
	const late = Symbol("late");
	const pause = new Promise((resolve) => setTimeout(resolve, SHORT_MS, late));
	expect(await Promise.race([fetching, pause])).toBe(late);
	expect(storage.viewsLent).toBe(0);
}

async function msOf(work: () => Promise<unknown>): Promise<number> {
	const started = performance.now();
	await work();
	return performance.now() - started;
}

describe("what is read", () => {
	test("are whole batches from the offset on, as views that come back with it", async () => {
		await append("a", 0, 3);
		const [first, second, third] = await fetch([
			["a", 0, 0],
			["a", 0, 2],
			["a", 0, 3],
		]);
		expect(batches([first, second, third] as FetchRead[])).toEqual([3, 1, 0]);
		expect(first).toMatchObject({ code: 0, highWatermark: 3, logStart: 0 });
		const { records } = second as FetchRead;
		expect(Buffer.from(records).readBigInt64BE()).toBe(2n);
		expect(third).toMatchObject({ code: 0, highWatermark: 3 });
		expect(storage.viewsLent).toBe(2);
		exchange.end();
		expect(storage.viewsLent).toBe(0);
	});

	test("is no more than a partition is asked for, but for the first batch of all", async () => {
		await append("a", 0, 3);
		await append("b", 0, 3);
		const twice = 2 * BATCH.length;
		expect(batches(await fetch([["a", 0, 0, twice]]))).toEqual([2]);
		expect(batches(await fetch([["a", 0, 0, twice + 1]]))).toEqual([2]);
		for (const small of [1, 0, -1]) {
			const reads = await fetch([
				["a", 0, 3],
				["a", 0, 0, small],
				["b", 0, 0, small],
				["b", 0, 0, BATCH.length],
			]);
			expect(batches(reads)).toEqual([0, 1, 0, 1]);
		}
	});

	test("is no more than is asked for together, but for the first batch", async () => {
		await append("a", 0, 3);
		await append("b", 0, 3);
		const places: Place[] = [
			["a", 0, 0],
			["b", 0, 0],
		];
		const together = (bytesMax: number) => fetch(places, { bytesMax });
		expect(batches(await together(4 * BATCH.length))).toEqual([3, 1]);
		expect(batches(await together(3 * BATCH.length))).toEqual([3, 0]);
		expect(batches(await together(BATCH.length + 1))).toEqual([1, 0]);
		expect(batches(await together(1))).toEqual([1, 0]);
		expect(batches(await together(0))).toEqual([1, 0]);
	});

	test("has an error where it cannot be read, and the others are read", async () => {
		await append("a", 0);
		const unread = { highWatermark: -1, logStart: -1, bytes: 0 };
		const reads = await fetch([
			["a", 0, 2],
			["a", 0, -1],
			["a", 3, 0],
			["a", -1, 0],
			["never", 0, 0],
			["a", 0, 0],
		]);
		expect(reads.map(({ code }) => code)).toEqual([1, 1, 3, 3, 3, 0]);
		for (const read of reads.slice(0, 5)) expect(read).toMatchObject(unread);
		expect(batches(reads).at(-1)).toBe(1);
	});

	test.each([
		[0, 0],
		[1, CODES.UNKNOWN_LEADER_EPOCH.code],
	])("belongs to the leader epoch that the client knows (%i)", async (leaderEpoch, code) => {
		const partitions = partitionsOf([["a", 0, 0]], leaderEpoch);
		const [read] = await new FetchRun(exchange, partitions, LIMITS_NOW).run();
		expect(read?.code).toBe(code);
	});
});

describe("a fetch waits", () => {
	test("not at all where there is enough, no time, or nothing to read or asked for", async () => {
		await append("a", 0);
		const waitMsMax = LONG_MS;
		const elapsedMs = await msOf(async () => {
			await fetch([["a", 0, 0]], { waitMsMax });
			await fetch([["a", 0, 1]], { waitMsMax, bytesMin: 0 });
			await fetch([["a", 0, 1]], { waitMsMax, bytesMin: -1 });
			await fetch([["a", 0, 1]], { waitMsMax: -1 });
			await fetch([], { waitMsMax });
			await fetch([["never", 0, 0]], { waitMsMax });
			await fetch([["a", 7, 0]], { waitMsMax });
		});
		expect(elapsedMs).toBeLessThan(LONG_MS / 2);
	});

	test("no longer than it may, and answers what there is", async () => {
		await append("a", 0);
		const limits = { waitMsMax: SHORT_MS, bytesMin: MUCH };
		let reads: readonly FetchRead[] = [];
		const elapsedMs = await msOf(async () => {
			const places: Place[] = [
				["a", 0, 0],
				["b", 0, 0],
			];
			reads = await fetch(places, limits);
		});
		expect(elapsedMs).toBeGreaterThanOrEqual(SHORT_MS - 1);
		expect(batches(reads)).toEqual([1, 0]);
	});

	test("for any of its partitions", async () => {
		const places: Place[] = [
			["a", 0, 0],
			["a", 1, 0],
			["b", 2, 0],
		];
		const fetching = fetch(places, { waitMsMax: LONG_MS });
		await expectWaiting(fetching);
		await append("b", 1);
		await expectWaiting(fetching);
		await append("b", 2);
		const reads = await fetching;
		expect(batches(reads)).toEqual([0, 0, 1]);
		expect(reads[2]).toMatchObject({ highWatermark: 1 });
	});

	test("until all that comes together is enough", async () => {
		await append("a", 0);
		const limits = { waitMsMax: LONG_MS, bytesMin: 3 * BATCH.length };
		const places: Place[] = [
			["a", 0, 0],
			["b", 0, 0],
		];
		const fetching = fetch(places, limits);
		await expectWaiting(fetching);
		await append("b", 0);
		await expectWaiting(fetching);
		await append("a", 0);
		expect(batches(await fetching)).toEqual([2, 1]);
	});

	test("for no more than fits into its answer", async () => {
		await append("a", 0, 3);
		const elapsedMs = await msOf(async () => {
			const bytesMax = Math.floor(2.5 * BATCH.length);
			const reads = await fetch([["a", 0, 0]], { waitMsMax: LONG_MS, bytesMin: MUCH, bytesMax });
			expect(batches(reads)).toEqual([2]);
			// The second partition's batch does not fit into the rest, and is as good as read.
			const places: Place[] = [
				["a", 0, 1],
				["a", 0, 0],
			];
			const both = await fetch(places, { waitMsMax: LONG_MS, bytesMin: MUCH, bytesMax });
			expect(batches(both)).toEqual([2, 0]);
		});
		expect(elapsedMs).toBeLessThan(LONG_MS / 2);
	});

	test("on where other partitions are not there", async () => {
		const places: Place[] = [
			["never", 0, 0],
			["a", 7, 0],
			["a", 0, 0],
		];
		const fetching = fetch(places, { waitMsMax: LONG_MS });
		await expectWaiting(fetching);
		await append("a", 0);
		const reads = await fetching;
		expect(reads.map(({ code }) => code)).toEqual([3, 3, 0]);
		expect(batches(reads)).toEqual([0, 0, 1]);
	});

	test("not where another partition cannot be read", async () => {
		const places: Place[] = [
			["a", 0, 0],
			["a", 1, 9],
		];
		const elapsedMs = await msOf(async () => {
			const reads = await fetch(places, { waitMsMax: LONG_MS });
			expect(reads.map(({ code }) => code)).toEqual([0, 1]);
		});
		expect(elapsedMs).toBeLessThan(LONG_MS / 2);
	});

	test("until a topic is deleted", async () => {
		await append("a", 0);
		const places: Place[] = [
			["a", 0, 0],
			["b", 0, 0],
		];
		const fetching = fetch(places, { waitMsMax: LONG_MS, bytesMin: MUCH });
		await expectWaiting(fetching);
		await catalogue.delete("b");
		const reads = await fetching;
		expect(reads.map(({ code }) => code)).toEqual([0, 3]);
		expect(batches(reads)).toEqual([1, 0]);
	});

	test("and does not keep the topic that it has read from being deleted", async () => {
		await append("a", 0);
		const fetching = fetch([["a", 0, 0]], { waitMsMax: LONG_MS, bytesMin: MUCH });
		await expectWaiting(fetching);
		await catalogue.delete("a");
		expect(await fetching).toMatchObject([{ code: 3, bytes: 0 }]);
	});

	test("until its client is gone", async () => {
		await append("a", 0);
		const fetching = fetch([["a", 0, 0]], { waitMsMax: LONG_MS, bytesMin: MUCH });
		await expectWaiting(fetching);
		exchange.end();
		await fetching;
		expect(storage.viewsLent).toBe(0);
	});

	test("until the store is closed", async () => {
		const fetching = fetch([["a", 0, 0]], { waitMsMax: LONG_MS });
		await expectWaiting(fetching);
		await catalogue.close();
		await storage.close();
		const [read] = await fetching;
		expect(read?.code).not.toBe(0);
	});

	test("without holding up what others read", async () => {
		const waiting = Array.from({ length: 50 }, () => fetch([["a", 0, 0]], { waitMsMax: LONG_MS }));
		await expectWaiting(Promise.race(waiting));
		await append("a", 0);
		for (const reads of await Promise.all(waiting)) expect(batches(reads)).toEqual([1]);
		expect(storage.viewsLent).toBe(50);
	});
});

describe("pages that have to come from the disk", () => {
	/** The real storage, whose pages are not there at the first look. */
	function coldStorage() {
		const loads: (() => void)[] = [];
		let isCold = true;
		const cold: Pick<Storage, "offsets" | "readBatches" | "release" | "watch" | "onToken"> = {
			offsets: (...place) => storage.offsets(...place),
			release: (view) => storage.release(view),
			watch: (...place) => storage.watch(...place),
			readBatches(...place) {
				const read = storage.readBatches(...place);
				if (!isCold || read.status !== "data") return read;
				storage.release(read.data as Uint8Array);
				read.status = "loading";
				read.data = null;
				return read;
			},
			onToken: (_, done) => {
				loads.push(() => {
					isCold = false;
					done(code);
				});
			},
		};
		let code = 0;
		const load = (outcome = 0) => {
			code = outcome;
			for (const loaded of loads.splice(0)) loaded();
		};
		return { cold, load, loads };
	}

	const places: Place[] = [
		["b", 0, 0],
		["a", 0, 0],
	];

	test("are waited for, and then read", async () => {
		await append("a", 0);
		const { cold, load, loads } = coldStorage();
		exchange = newExchange(cold);
		const fetching = fetch(places);
		await expectWaiting(fetching);
		expect(loads).toHaveLength(1);
		load();
		expect(batches(await fetching)).toEqual([0, 1]);
		expect(storage.viewsLent).toBe(1);
	});

	test("that cannot be loaded are an error", async () => {
		await append("a", 0);
		const { cold, load } = coldStorage();
		exchange = newExchange(cold);
		const fetching = fetch(places, { waitMsMax: LONG_MS });
		await expectWaiting(fetching);
		load(CODES.KAFKA_STORAGE_ERROR.code);
		const reads = await fetching;
		expect(reads.map(({ code }) => code)).toEqual([0, CODES.KAFKA_STORAGE_ERROR.code]);
	});

	test("are given back at once when the client has gone meanwhile", async () => {
		await append("a", 0);
		const { cold, load } = coldStorage();
		exchange = newExchange(cold);
		const fetching = fetch(places, { waitMsMax: LONG_MS });
		await expectWaiting(fetching);
		exchange.end();
		load();
		await fetching;
		expect(storage.viewsLent).toBe(0);
	});
});

test("a read that fails half-way gives back what was read", async () => {
	await append("a", 0);
	await append("b", 0);
	const broken = {
		offsets: (...place: Parameters<Storage["offsets"]>) => storage.offsets(...place),
		release: (view: Uint8Array) => storage.release(view),
		readBatches(...place: Parameters<Storage["readBatches"]>) {
			if (place[0] === catalogue.get("b")?.handle) throw new Error("a bug");
			return storage.readBatches(...place);
		},
	};
	exchange = newExchange(broken);
	const places: Place[] = [
		["a", 0, 0],
		["b", 0, 0],
	];
	await expect(fetch(places)).rejects.toThrow("a bug");
	expect(storage.viewsLent).toBe(0);
});
