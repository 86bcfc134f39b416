/**
 * What the programs here share. Each runs by itself on every supported Node, from the built broker;
 * its argument is an empty directory, and it fails by an exception.
 */
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";

import { FrameWriter } from "../../../dist/protocol/writer.js";
import { PLAN_BASE_OFFSET, PLAN_CODE, PLAN_TOPIC_HANDLE } from "../../../dist/storage/layout.js";
import { Storage } from "../../../dist/storage/storage.js";
import { topicLogConfig } from "../../../dist/topics/configuration.js";
import { BUILT_IN_DEFAULTS } from "../../../dist/topics/topic-defaults.js";

export { Storage };

/** The largest value for which a batch still fits the largest topic, in bytes. */
export const VALUE_BYTES_MAX = 8_388_608 - 200;

/** The one connection that there is without a broker. */
const CONNECTION = 0;

/** A storage with one topic of one partition, open on a directory. */
export class StorageAtWork {
	#storage;
	#topic;
	#topicId;

	/**
	 * @param options what `Storage.open` takes
	 * @param topicId a topic that exists; a new one by default
	 */
	static async open(options, topicId) {
		const work = new StorageAtWork();
		work.#storage = await Storage.open(options);
		await work.openTopic(topicId);
		return work;
	}

	/** Goes on with another topic, a new one by default. */
	async openTopic(topicId) {
		this.#topicId = topicId ?? randomUUID();
		const existing = topicId !== undefined;
		const settings = new Map([
			["max.message.bytes", "8388608"],
			["segment.bytes", "67108864"],
		]);
		const config = topicLogConfig(settings, BUILT_IN_DEFAULTS);
		const spec = { name: "views", topicId: this.#topicId, partitions: 1, config, existing };
		[this.#topic] = await this.#storage.openTopics([spec]);
	}

	get storage() {
		return this.#storage;
	}

	get topic() {
		return this.#topic;
	}

	get topicId() {
		return this.#topicId;
	}

	/** Offset behind the last record. */
	get logEnd() {
		return this.#storage.offsets(this.#topic, 0).logEnd;
	}

	/** A number that every start raises that follows upon anything but a clean stop. */
	get leaderEpoch() {
		return this.#storage.offsets(this.#topic, 0).leaderEpoch;
	}

	/** Appends a value of `bytes` bytes as a batch of its own and resolves to its offset. */
	async append(bytes, ack = 2) {
		const offset = this.logEnd;
		assert.equal(await this.appendValue(valueAt(offset, bytes), ack), offset);
		return offset;
	}

	/** Appends a value as a batch of its own and resolves to its offset. */
	async appendValue(value, ack = 2) {
		const frame = new FrameWriter().value([3, 1, ack, [["views", 0, -1, 0, [[value]]]]]).finish();
		const { entryCount } = this.#storage.decodeProduce(frame);
		this.#storage.plan[PLAN_TOPIC_HANDLE] = this.#topic;
		const token = this.#storage.append(frame, entryCount, ack, -1, -1, CONNECTION);
		const isElsewhere = this.#storage.isElsewhere;
		// The plan is the next frame's as soon as this one waits.
		const offset = this.#storage.plan[PLAN_BASE_OFFSET];
		const code = token === 0 ? 0 : await this.#done(token);
		assert.equal(code, 0);
		if (isElsewhere) this.#storage.takeAppended(token);
		assert.equal(this.#storage.plan[PLAN_CODE], 0);
		return isElsewhere ? this.#storage.plan[PLAN_BASE_OFFSET] : offset;
	}

	/** Resolves when the high watermark has passed `offset`. */
	visible(offset) {
		return new Promise((resolve) => this.#storage.watch(this.#topic, 0, offset, resolve));
	}

	/** Starts an append that nobody waits for. */
	appendUnawaited(bytes) {
		void this.append(bytes);
	}

	/** A lent view of the batch at `offset`. */
	async view(offset) {
		for (;;) {
			const { status, data, token } = this.#storage.readBatches(this.#topic, 0, offset, 1);
			if (status === "data") return data;
			assert.equal(status, "loading");
			assert.equal(await this.#done(token), 0);
		}
	}

	release(view) {
		this.#storage.release(view);
	}

	deleteTopic() {
		return this.#storage.deleteTopic(this.#topic);
	}

	close() {
		return this.#storage.close();
	}

	#done(token) {
		return new Promise((resolve) => this.#storage.onToken(token, resolve));
	}
}

function valueAt(offset, bytes) {
	const value = new Uint8Array(bytes).fill(offset % 251);
	value[0] = bytes % 256;
	return value;
}

/** A batch of one record ends with its value and the number of its headers, 0. */
export function expectValue(view, offset, bytes) {
	const value = view.subarray(view.length - 1 - bytes, view.length - 1);
	assert.equal(Buffer.compare(value, valueAt(offset, bytes)), 0, `the value at offset ${offset}`);
	assert.equal(view.at(-1), 0);
}

/** Mappings and descriptors of this process that keep unlinked files below a directory alive. */
export function unlinkedFilesHeld(directory) {
	const isHeld = (path) => path.includes(directory) && path.endsWith("(deleted)");
	const maps = readFileSync("/proc/self/maps", "utf8").split("\n").filter(isHeld);
	const descriptors = readdirSync("/proc/self/fd").flatMap((descriptor) => {
		try {
			return [readlinkSync(`/proc/self/fd/${descriptor}`)];
		} catch {
			// The descriptor that listed the directory.
			return [];
		}
	});
	return [...maps, ...descriptors.filter(isHeld)];
}

// No garbage is collected because nothing is to do: what is waited for is to come without.
setFlagsFromString("--no-memory-reducer");

/**
 * Fails unless all is given back, without a garbage collection being asked for. However busy the
 * machine is, forty seconds are enough.
 */
export async function expectGivenBack(directory) {
	assert.equal(globalThis.gc, undefined);
	// Ever more rarely: looking makes garbage, too.
	for (let waitMs = 10; unlinkedFilesHeld(directory).length > 0 && waitMs < 30_000; waitMs *= 2) {
		await sleep(waitMs);
	}
	assert.deepEqual(unlinkedFilesHeld(directory), []);
}
