import { expect, test } from "vitest";

import { recordCountOf, TopicTraffic } from "../../src/monitoring/topic-traffic.ts";
import type { TopicHandle } from "../../src/storage/storage.ts";
import type { TopicChange } from "../../src/topics/catalogue.ts";
import { recordBatch } from "../record-batch.ts";

test("a deleted topic's traffic is handed over once, and forgotten", () => {
	let tell: (change: TopicChange) => void = () => undefined;
	const traffic = new TopicTraffic({
		onChange: (listener) => {
			tell = listener;
			return () => undefined;
		},
	});
	const forgotten: unknown[] = [];
	traffic.onForgotten = (topic, { receivedRecords, sentBytes }) => {
		forgotten.push([topic, receivedRecords, sentBytes]);
	};
	const [kept, gone] = [1, 2] as TopicHandle[] as [TopicHandle, TopicHandle];
	for (const topic of [kept, gone]) {
		traffic.received(topic, 3, 30);
		traffic.sent(topic, 2, 20);
	}
	const deleted = { kind: "deleted", topic: { handle: gone } } as TopicChange;
	tell(deleted);
	tell(deleted);
	expect(forgotten).toEqual([[gone, 3, 20]]);
	expect(traffic.get(gone)).toBeUndefined();
	expect(traffic.get(kept)).toMatchObject({ receivedRecords: 3 });
});

test("the records of a batch are counted wherever it begins, and not where it is cut short", () => {
	const batch = recordBatch(["a", "b", "c"].map((value) => Buffer.from(value)));
	expect(recordCountOf(batch)).toBe(3);
	expect(recordCountOf(Buffer.concat([Buffer.alloc(7), batch]), 7)).toBe(3);
	expect(recordCountOf(batch.subarray(0, 61))).toBe(3);
	expect(recordCountOf(batch.subarray(0, 60))).toBe(0);
	expect(recordCountOf(Buffer.alloc(61, 0xff))).toBe(0);
});
