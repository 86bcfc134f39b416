/**
 * Values of the metadata file that were damaged: whatever they say, they are refused as damaged or
 * newer, or make something that is written again as it was read.
 */
import { expect, test } from "vitest";

import { MillraceError } from "../../src/errors.ts";
import { GroupConfigs } from "../../src/groups/group-configs.ts";
import { encodeRecord } from "../../src/metadata/metadata-records.ts";
import type { OpenedMetadata } from "../../src/metadata/metadata-writer.ts";
import { topicLogConfig } from "../../src/topics/configuration.ts";
import { BUILT_IN_DEFAULTS } from "../../src/topics/topic-defaults.ts";
import {
	decodeRecords,
	deletedTopicKey,
	encodeDeletedTopic,
	encodeTopic,
	topicKey,
} from "../../src/topics/topic-records.ts";
import { OPTIONS } from "../groups/harness.ts";
import { damaged, numbersOf, oneOf } from "../kafka/damage.ts";
import { seed } from "../seed.ts";

const ROUNDS = 20_000;

const topicId = "01890a5d-ac96-774b-bcce-b302099a8057";
const overrides = new Map([
	["cleanup.policy", "compact,delete"],
	["compression.type", "zstd"],
	["flush.ms", "9223372036854775807"],
	["min.cleanable.dirty.ratio", "0.25"],
	["preallocate", "true"],
	["segment.bytes", "1048576"],
]);
const TOPIC = encodeTopic({ name: "orders", topicId, partitions: 3, overrides });
const DELETED = encodeDeletedTopic({ name: "gone", topicId });
const GROUP = encodeRecord(1, { config: { "consumer.session.timeout.ms": "50000" } });

/** Decodes damaged values again and again; `decode` may throw nothing but that they are damaged. */
function expectSafe(value: Uint8Array, decode: (value: Uint8Array) => void): void {
	decode(value);
	const below = numbersOf(seed);
	let refused = 0;
	for (let round = 0; round < ROUNDS; round++) {
		let bytes = damaged(Buffer.from(value), below);
		// Most damage is no JSON any more: a digit or a letter for another one is.
		if (round % 2 === 0) {
			bytes = Buffer.from(value);
			bytes.writeUInt8(oneOf([...`0123456789-."a{[n`], below).charCodeAt(0), below(bytes.length));
		}
		try {
			decode(bytes);
		} catch (error) {
			const code = error instanceof MillraceError ? error.code : undefined;
			if (code !== "DATA_DAMAGED" && code !== "DATA_DIRECTORY_NEWER") {
				throw new Error(`seed ${seed}, value ${bytes.toString()}`, { cause: error });
			}
			refused++;
		}
	}
	expect(refused).toBeGreaterThan(0);
	expect(refused).toBeLessThan(ROUNDS);
}

test("damaged topics", () => {
	expectSafe(TOPIC, (value) => {
		const [topic] = decodeRecords(new Map([[topicKey("orders"), value]])).topics;
		if (topic === undefined) throw new Error("it is a topic or an error");
		expect(topic.partitions).toBeGreaterThan(0);
		topicLogConfig(topic.overrides, BUILT_IN_DEFAULTS);
		const again = new Map([[topicKey("orders"), encodeTopic(topic)]]);
		expect(decodeRecords(again).topics).toEqual([topic]);
	});
});

test("damaged deletions", () => {
	expectSafe(DELETED, (value) => {
		const [topic] = decodeRecords(new Map([[deletedTopicKey(topicId), value]])).deleted;
		expect(topic?.topicId).toBe(topicId);
	});
});

test("damaged settings of groups", () => {
	expectSafe(GROUP, (value) => {
		const entries = new Map([["group-configs/billing", value]]);
		const configs = GroupConfigs.open({ entries } as unknown as OpenedMetadata, OPTIONS);
		const { sessionTimeoutMs, heartbeatIntervalMs } = configs.timeoutsOf("billing");
		expect(sessionTimeoutMs).toBeGreaterThan(0);
		expect(heartbeatIntervalMs).toBeGreaterThan(0);
	});
});
