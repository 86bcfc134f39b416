import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Backoff } from "../../src/client/connection/backoff.ts";
import { masksWithZero } from "../../src/client/connection/node-socket.ts";
import { Credit } from "../../src/client/consumer/credit.ts";
import { Fifo } from "../../src/client/fifo.ts";
import { murmur2, partitionOfHash } from "../../src/client/producer/murmur2.ts";
import { advanceSequence } from "../../src/client/producer/partition-queue.ts";

describe("murmur2", () => {
	// The vectors of Kafka's own UtilsTest.
	test.each([
		["21", -973_932_308],
		["foobar", -790_332_482],
		["a-little-bit-long-string", -985_981_536],
		["a-little-bit-longer-string", -1_486_304_829],
		["lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971],
	])("of %s is what Kafka's clients compute", (text, hash) => {
		const padded = Buffer.from(`..${text}.`);
		expect(murmur2(Buffer.from(text))).toBe(hash);
		expect(murmur2(padded, 2, padded.length - 1)).toBe(hash);
	});

	test("partitions are never negative", () => {
		expect(partitionOfHash(-973_932_308, 8)).toBe((-973_932_308 & 0x7fffffff) % 8);
	});
});

describe("backoff", () => {
	test("doubles up to its most, jittered by half, and begins again", () => {
		const longest = new Backoff(100, 1_000, () => 1);
		expect([1, 2, 3, 4, 5, 6].map(() => longest.nextMs())).toEqual([
			100, 200, 400, 800, 1_000, 1_000,
		]);
		longest.reset();
		expect(longest.nextMs()).toBe(100);
		const shortest = new Backoff(100, 1_000, () => 0);
		expect([shortest.nextMs(), shortest.nextMs()]).toEqual([50, 100]);
	});
});

describe("credit", () => {
	test("is given back in portions", () => {
		const credit = new Credit(1_000, 1_000);
		expect(credit.remaining()).toEqual([1_000, 1_000]);
		for (let index = 0; index < 5; index++) credit.delivered(10, 100);
		credit.taken(10, 100);
		expect(credit.due()).toBeUndefined();
		credit.taken(10, 100);
		credit.taken(10, 100);
		expect(credit.due()).toEqual([30, 300]);
		expect(credit.due()).toBeUndefined();
		credit.taken(10, 100);
		credit.taken(10, 100);
		expect(credit.due()).toBeUndefined();
		credit.delivered(10, 100);
		credit.taken(10, 100);
		expect(credit.due()).toEqual([30, 300]);
	});

	test("comes in time whatever is delivered, and however shares change", () => {
		fc.assert(
			fc.property(
				fc.array(
					fc.record({ bytes: fc.nat(400), share: fc.option(fc.integer({ min: 1, max: 900 })) }),
				),
				(deliveries) => {
					const credit = new Credit(50, 500);
					let [leftRecords, leftBytes] = credit.remaining();
					for (const { bytes, share } of deliveries) {
						if (share !== null) credit.resize(share);
						// A broker without credit would wait for ever: everything was taken.
						expect(Math.min(leftRecords, leftBytes)).toBeGreaterThan(0);
						credit.delivered(1, bytes);
						credit.taken(1, bytes);
						const [records, givenBytes] = credit.due() ?? [0, 0];
						leftRecords += records - 1;
						leftBytes += givenBytes - bytes;
					}
				},
			),
		);
	});

	test("of a subscription that begins anew is what is not waiting here", () => {
		const credit = new Credit(100, 1_000);
		credit.delivered(10, 900);
		credit.delivered(10, 900);
		credit.taken(10, 900);
		expect(credit.remaining()).toEqual([90, 100]);
		credit.taken(10, 900);
		expect(credit.due()).toEqual([10, 900]);
	});

	test("a smaller share is reached by giving less back, a larger one by giving more", () => {
		const credit = new Credit(1_000, 1_000);
		credit.resize(400);
		credit.delivered(5, 500);
		credit.taken(5, 500);
		// The broker has 500 left, of which 400 are to be.
		expect(credit.due()).toEqual([5, 0]);
		credit.delivered(4, 400);
		credit.taken(4, 400);
		expect(credit.due()).toEqual([4, 300]);
		credit.resize(1_000);
		credit.delivered(1, 100);
		credit.taken(1, 100);
		expect(credit.due()).toEqual([1, 700]);
		credit.resize(600);
		expect(credit.remaining()).toEqual([1_000, 600]);
		credit.delivered(1, 200);
		credit.taken(1, 200);
		expect(credit.due()).toEqual([1, 200]);
	});
});

describe("fifo", () => {
	test("keeps order through many pushes and shifts", () => {
		const fifo = new Fifo<number>();
		let next = 0;
		for (let index = 0; index < 10_000; index++) {
			fifo.push(index);
			if (index % 3 !== 0) expect(fifo.shift()).toBe(next++);
		}
		expect(fifo.size).toBe(10_000 - next);
		expect(fifo.extract((item) => item % 2 === 0).every((item) => item % 2 === 0)).toBe(true);
		fifo.unshift([-2, -1]);
		expect([fifo.shift(), fifo.shift()]).toEqual([-2, -1]);
		for (let item = fifo.shift(); item !== undefined; item = fifo.shift()) {
			expect(item % 2).not.toBe(0);
		}
		expect(fifo.size).toBe(0);
	});
});

test("behind the last sequence number comes 0", () => {
	expect(advanceSequence(2_147_483_647, 1)).toBe(0);
	expect(advanceSequence(2_147_483_640, 10)).toBe(2);
	expect(advanceSequence(0, 5)).toBe(5);
});

test("masking with zeroes only where no intermediary can be confused", () => {
	const auto = (url: string) => masksWithZero(url, { mask: "auto" });
	for (const url of ["ws://127.0.0.1:1", "ws://localhost", "ws://[::1]:2", "wss://example.org"]) {
		expect([url, auto(url)]).toEqual([url, true]);
	}
	for (const url of ["ws://example.org", "ws://10.0.0.1", "ws://127.0.0.1.example.org"]) {
		expect([url, auto(url)]).toEqual([url, false]);
	}
	expect(masksWithZero("ws://example.org", { mask: "zero" })).toBe(true);
	expect(masksWithZero("ws://localhost", { mask: "random" })).toBe(false);
});
