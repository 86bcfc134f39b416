/** Storage without a broker around it. */
import { randomUUID } from "node:crypto";
import { PLAN_CODE, PLAN_TOPIC_HANDLE } from "#dist/storage/layout.js";
import type { Storage, TopicHandle } from "#dist/storage/storage.js";
import { checkOverrides, topicLogConfig } from "#dist/topics/configuration.js";
import { BUILT_IN_DEFAULTS } from "#dist/topics/topic-defaults.js";

import { recordsFrame } from "./produce-frames.ts";

/** The one connection that there is without a broker. */
const CONNECTION = 0;

/** A topic of one partition whose acks do not wait for the disk. */
export async function openTopic(
	storage: Storage,
	name: string,
	settings: Readonly<Record<string, string>> = {},
): Promise<TopicHandle> {
	const overrides = { "flush.messages": "9223372036854775807", ...settings };
	const config = topicLogConfig(checkOverrides(Object.entries(overrides)), BUILT_IN_DEFAULTS);
	const topicId = randomUUID();
	const [handle] = await storage.openTopics([
		{ name, topicId, partitions: 1, config, existing: false },
	]);
	return handle as TopicHandle;
}

/** Resolves when the frame's one entry is stored; rejects when it is refused. */
export async function appendFrame(
	storage: Storage,
	topic: TopicHandle,
	frame: Uint8Array,
): Promise<void> {
	const { ack, entryCount } = storage.decodeProduce(frame);
	storage.plan[PLAN_TOPIC_HANDLE] = topic;
	storage.plan[PLAN_CODE] = 0;
	const token = storage.append(frame, entryCount, ack, -1, -1, CONNECTION);
	if (token !== 0) {
		const { isElsewhere } = storage;
		const code = await new Promise<number>((resolve) => storage.onToken(token, resolve));
		if (isElsewhere) storage.takeAppended(token);
		if (code !== 0) throw new Error(`an append failed with code ${code}`);
	}
	const refused = storage.plan[PLAN_CODE];
	if (refused !== 0) throw new Error(`an append was refused with code ${refused}`);
}

/**
 * The batch that begins at an offset: a view that is good until the next read. Waits where another
 * thread has to bring it in from disk first.
 */
export async function readBatch(
	storage: Storage,
	topic: TopicHandle,
	offset: number,
): Promise<Uint8Array> {
	for (;;) {
		const { status, data, token } = storage.readBatches(topic, 0, offset, 1);
		if (data !== null) {
			storage.release(data);
			return data;
		}
		if (status !== "loading") {
			throw new Error(`the batch at offset ${offset} cannot be read: ${status}`);
		}
		await new Promise((resolve) => storage.onToken(token, resolve));
	}
}

/** A batch as the core itself builds it; it is left behind as the first one of the topic. */
export async function readyBatch(
	storage: Storage,
	topic: TopicHandle,
	values: readonly Uint8Array[],
): Promise<Uint8Array> {
	const [batch] = await readyBatches(storage, topic, values, values.length);
	return batch as Uint8Array;
}

/** What a batch begins with. */
const OFFSET_BYTES = 8;

/**
 * Batches as the core itself builds them, of `batchRecords` records each, which carry on one where
 * the other ends; they are left behind in the topic, which was empty.
 */
export async function readyBatches(
	storage: Storage,
	topic: TopicHandle,
	values: readonly Uint8Array[],
	batchRecords: number,
): Promise<Uint8Array[]> {
	const batches: Uint8Array[] = [];
	for (let offset = 0; offset < values.length; offset += batchRecords) {
		await appendFrame(storage, topic, recordsFrame(values.slice(offset, offset + batchRecords)));
		const batch = (await readBatch(storage, topic, offset)).slice();
		// As a client sends it: the offset is the log's to assign.
		batch.fill(0, 0, OFFSET_BYTES);
		batches.push(batch);
	}
	return batches;
}
