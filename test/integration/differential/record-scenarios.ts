/** Writing, reading and finding records. */
import { BOMBS } from "../../decompression-bombs.ts";
import type { BatchLies } from "../../record-batch.ts";
import { batch, bombBatch, brokenBatch, expandingBatch, gzipBatch, oldMessage } from "./batches.ts";
import { type Scenario, scenario } from "./scenario.ts";
import type { Session, TopicNames } from "./session.ts";

const UNKNOWN_ID = "12345678-1234-4234-8234-123456789abc";
const CONTROL = 0x20;
const TRANSACTIONAL = 0x10;
const LOG_APPEND_TIME = 0x08;

export const unknownTopic: TopicNames = { name: "unknown", topicId: UNKNOWN_ID };

// Produce

const produceRequest = (topic: TopicNames, records: Uint8Array, index = 0, acks = -1) => ({
	transactionalId: null,
	acks,
	timeoutMs: 120_000,
	topicData: [{ ...topic, partitionData: [{ index, records }] }],
});

/** Batches that are appended, one after the other, to a topic of their own. */
function produces(
	name: string,
	batches: () => readonly Uint8Array[],
	configs: Readonly<Record<string, string>> = {},
): Scenario {
	return scenario({
		api: "Produce",
		name,
		async run(session, version, id) {
			const topic = await session.topic(id, 1, configs);
			for (const records of batches()) {
				await session.ask("Produce", version, produceRequest(topic, records));
			}
		},
	});
}

/** A batch with lies, then an honest one: what became of the first must not harm the second. */
const lying = (name: string, lies: BatchLies): Scenario =>
	produces(name, () => [batch(["a", "b"], lies), batch(["honest"])]);

interface NumberedBatch {
	readonly values: string[];
	readonly sequence: number;
	readonly epoch?: number;
}

/** Batches of a producer that the broker has given its id, unless it gives itself one. */
function numberedBatches(
	name: string,
	batches: readonly NumberedBatch[],
	ownId?: number,
): Scenario {
	return scenario({
		api: "Produce",
		name,
		async run(session, version, topicId) {
			const topic = await session.topic(topicId);
			const asked = { transactionalId: null, transactionTimeoutMs: 60_000 };
			const first = () => session.prepare("InitProducerId", 4, asked);
			const id = ownId ?? ((await session.untilDone(first)).producerId as number);
			for (const { values, sequence, epoch = 0 } of batches) {
				const producer = { id, epoch, sequence };
				const request = produceRequest(topic, batch(values, { producer }));
				await session.ask("Produce", version, request, `sequence ${sequence}`);
			}
		},
	});
}

const LONG_AGO: BatchLies = { timestampMs: 1_700_000_000_000 };

const produceScenarios: Scenario[] = [
	produces("whole batches", () => [batch(["a"]), batch(["b", "c"]), gzipBatch(["d", "e", "f"])]),
	scenario({
		api: "Produce",
		name: "acks",
		prepare: (session) => session.topic("produce-acks"),
		async run(session, version, _, topic) {
			for (const acks of [1, -1, 2, -2]) {
				const request = produceRequest(topic, batch(["a"]), 0, acks);
				await session.ask("Produce", version, request, `acks ${acks}`);
			}
			await session.tell("Produce", version, produceRequest(topic, batch(["a"]), 0, 0));
		},
	}),
	scenario({
		api: "Produce",
		name: "places that are not there",
		prepare: (session) => session.topic("produce-places"),
		async run(session, version, _, topic) {
			const ask = (asked: TopicNames, index: number) =>
				session.ask("Produce", version, produceRequest(asked, batch(["a"]), index));
			await ask(topic, 1);
			await ask(topic, -1);
			await ask(unknownTopic, 0);
			if (version < 13) await ask({ ...unknownTopic, name: "not a name" }, 0);
			const nothing = { transactionalId: null, acks: -1, timeoutMs: 1_000, topicData: [] };
			await session.ask("Produce", version, nothing, "no topics");
		},
	}),
	produces("nothing in it", () => [new Uint8Array(0), batch(["honest"])]),
	produces("two batches", () => [Buffer.concat([batch(["a"]), batch(["b"])]), batch(["honest"])]),
	produces("a message of format 1", () => [oldMessage(), batch(["honest"])]),
	lying("a wrong checksum", { checksumError: 1 }),
	lying("format 3", { magic: 3 }),
	lying("format 0", { magic: 0 }),
	lying("a length that is too large", { length: 10_000 }),
	lying("a length that is too small", { length: 10 }),
	produces("less than a header", () => [batch(["a"]).subarray(0, 60), batch(["honest"])]),
	produces("less than a length", () => [batch(["a"]).subarray(0, 11), batch(["honest"])]),
	lying("more records than there are", { count: 3, lastOffsetDelta: 2 }),
	lying("fewer records than there are", { count: 1, lastOffsetDelta: 0 }),
	lying("offsets of its own", { baseOffset: 5 }),
	lying("a last offset that does not fit", { lastOffsetDelta: 5 }),
	lying("no records", { count: 0, lastOffsetDelta: 0, body: new Uint8Array(0) }),
	lying("records that are garbage", { body: Buffer.from("garbage that is no record") }),
	lying("a control batch", { attributes: CONTROL }),
	lying("a transactional batch without a producer", { attributes: TRANSACTIONAL }),
	lying("the broker's timestamp type", { attributes: LOG_APPEND_TIME }),
	lying("an unknown codec", { attributes: 7 }),
	produces("compressed garbage", () => [
		gzipBatch(["a", "b"], Buffer.from("this is not gzip")),
		batch(["honest"]),
	]),
	produces("compression that lies about sizes", () => [
		...BOMBS.filter(({ fault }) => fault === "damaged").map(bombBatch),
		batch(["honest"]),
	]),
	produces("a batch that expands to more than 64 MiB", () => [expandingBatch(65 * 1_048_576)]),
	produces("a compressed batch that is too large", () => [batch(["x".repeat(3_000)])], {
		"max.message.bytes": "1000",
	}),
	produces(
		"what is too large for a topic that is not compressed",
		() => [gzipBatch(["x".repeat(3_000)]), gzipBatch(["y".repeat(500)])],
		{ "compression.type": "uncompressed", "max.message.bytes": "1000" },
	),
	produces(
		"a compacted topic",
		() => [batch(["no key"]), batch(["a", "b", "c", "d"]), gzipBatch(["a", "b"])],
		{ "cleanup.policy": "compact" },
	),
	produces("the broker's time", () => [batch(["a"])], {
		"message.timestamp.type": "LogAppendTime",
	}),
	produces("more replicas wanted than there are", () => [batch(["a"])], {
		"min.insync.replicas": "2",
	}),
	produces(
		"times out of bounds",
		() => [batch(["a", "b"], LONG_AGO), gzipBatch(["a"], undefined, LONG_AGO)],
		{ "message.timestamp.before.max.ms": "0" },
	),
	produces("no keys and times out of bounds", () => [batch(["a", "b"], LONG_AGO)], {
		"cleanup.policy": "compact",
		"message.timestamp.before.max.ms": "0",
	}),
	produces("garbage behind records that are refused", () => [brokenBatch(["a", "b"])], {
		"cleanup.policy": "compact",
	}),
	numberedBatches("a numbered batch again, and a hole", [
		{ values: ["a", "b"], sequence: 0 },
		{ values: ["c"], sequence: 2 },
		{ values: ["c"], sequence: 2 },
		{ values: ["d"], sequence: 9 },
		{ values: ["e"], sequence: 0, epoch: 1 },
		{ values: ["f"], sequence: 3 },
	]),
	numberedBatches("a producer that begins in the middle", [
		{ values: ["a"], sequence: 5 },
		{ values: ["a"], sequence: 0, epoch: -1 },
		{ values: ["a"], sequence: -1 },
	]),
	numberedBatches(
		"a producer to whom nobody gave its id",
		[
			{ values: ["a"], sequence: 7, epoch: 3 },
			{ values: ["b"], sequence: 8, epoch: 3 },
			{ values: ["c"], sequence: 12, epoch: 3 },
			{ values: ["d"], sequence: 9, epoch: 2 },
			{ values: ["e"], sequence: 9, epoch: 4 },
			{ values: ["f"], sequence: 0, epoch: 4 },
		],
		900_000_000_001,
	),
];

// Fetch

const fetchRequest = (
	topic: TopicNames,
	fetchOffset: number,
	{
		partition = 0,
		partitionMaxBytes = 1_048_576,
		currentLeaderEpoch = -1,
		...more
	}: Record<string, number> = {},
) => ({
	replicaId: -1,
	maxWaitMs: 0,
	minBytes: 0,
	maxBytes: 1_048_576,
	isolationLevel: 0,
	sessionId: 0,
	sessionEpoch: -1,
	topics: [
		{
			topic: topic.name,
			topicId: topic.topicId,
			partitions: [{ partition, fetchOffset, partitionMaxBytes, currentLeaderEpoch }],
		},
	],
	...more,
});

/** A topic with three batches: offsets 0 to 1, 2 to 4, 5. */
async function filledTopic(session: Session, name: string): Promise<TopicNames> {
	const topic = await session.topic(name);
	await session.append(topic, [batch(["a", "b"]), gzipBatch(["c", "d", "e"]), batch(["f"])]);
	return topic;
}

/** How long fetches wait; so long nothing else takes. */
const WAIT_MS = 5_000;
/** Who rounds may be so much too early. */
const EARLY_MS_MAX = 100;

const fetchScenarios: Scenario[] = [
	scenario({
		api: "Fetch",
		name: "offsets",
		prepare: (session) => filledTopic(session, "fetch-offsets"),
		async run(session, version, _, topic) {
			for (const offset of [0, 1, 2, 3, 5, 6, 7, -1, 1_000]) {
				await session.ask("Fetch", version, fetchRequest(topic, offset), `offset ${offset}`);
			}
		},
	}),
	scenario({
		api: "Fetch",
		name: "a topic with a codec of its own",
		async prepare(session) {
			const topic = await session.topic("fetch-uncompressed", 1, {
				"compression.type": "uncompressed",
			});
			await session.append(topic, [gzipBatch(["a", "b", "c"]), batch(["d"])]);
			return topic;
		},
		async run(session, version, _, topic) {
			for (const offset of [0, 1, 3]) {
				await session.ask("Fetch", version, fetchRequest(topic, offset), `offset ${offset}`);
			}
		},
	}),
	scenario({
		api: "Fetch",
		name: "limits",
		prepare: (session) => filledTopic(session, "fetch-limits"),
		async run(session, version, _, topic) {
			const ask = (more: Record<string, number>) =>
				session.ask("Fetch", version, fetchRequest(topic, 0, more), JSON.stringify(more));
			await ask({ partitionMaxBytes: 1 });
			await ask({ maxBytes: 1 });
			await ask({ partitionMaxBytes: 100 });
			await ask({ partitionMaxBytes: 0 });
			await ask({ isolationLevel: 1 });
			await ask({ minBytes: 100_000, maxWaitMs: 30 });
		},
	}),
	scenario({
		api: "Fetch",
		name: "places that are not there",
		prepare: (session) => filledTopic(session, "fetch-places"),
		async run(session, version, _, topic) {
			await session.ask("Fetch", version, fetchRequest(topic, 0, { partition: 1 }));
			await session.ask("Fetch", version, fetchRequest(unknownTopic, 0));
			const epoch = fetchRequest(topic, 0, { currentLeaderEpoch: 1_000_000 });
			await session.ask("Fetch", version, epoch, "a later leader epoch");
			await session.ask("Fetch", version, { ...fetchRequest(topic, 0), topics: [] }, "no topics");
		},
	}),
	scenario({
		api: "Fetch",
		name: "sessions",
		from: 7,
		prepare: (session) => filledTopic(session, "fetch-sessions"),
		async run(session, version, _, topic) {
			const ask = (offset: number, sessionId: number, sessionEpoch: number, label: string) =>
				session.ask(
					"Fetch",
					version,
					fetchRequest(topic, offset, { sessionId, sessionEpoch }),
					label,
				);
			const first = await ask(0, 0, 0, "a new session");
			const id = (first?.sessionId as number | undefined) ?? 0;
			await ask(6, id, 1, "goes on");
			const nothing = { ...fetchRequest(topic, 0), topics: [], sessionId: id, sessionEpoch: 2 };
			await session.ask("Fetch", version, nothing, "nothing new");
			await session.append(topic, [batch(["g"])]);
			await session.ask("Fetch", version, { ...nothing, sessionEpoch: 3 }, "something new");
			await ask(0, id, 9, "a wrong epoch");
			await ask(0, id + 1, 1, "an unknown session");
			await ask(0, id, -1, "the end of it");
			await ask(0, id, 4, "behind the end");
		},
	}),
	scenario({
		api: "Fetch",
		name: "what sessions remember",
		from: 7,
		prepare: (session) => session.topic("fetch-forgotten", 3),
		async run(session, version, _, topic) {
			const names = { topic: topic.name, topicId: topic.topicId };
			const partition = (index: number) => ({
				...names,
				partitions: [
					{ partition: index, fetchOffset: 0, partitionMaxBytes: 1_000, currentLeaderEpoch: -1 },
				],
			});
			const ask = (label: string, sessionId: number, sessionEpoch: number, more: object = {}) => {
				const asked = { ...fetchRequest(topic, 0), topics: [], sessionId, sessionEpoch, ...more };
				return session.ask("Fetch", version, asked, label);
			};
			const first = await ask("a session of nothing", 0, 0);
			const id = (first?.sessionId as number | undefined) ?? 0;
			await ask("that gets partitions", id, 1, { topics: [partition(0), partition(1)] });
			const forgotten = { forgottenTopicsData: [{ ...names, partitions: [1] }] };
			await ask("that forgets what it reads", id, 2, { topics: [partition(1)], ...forgotten });
			await ask("that is told of a new one", id, 3, { topics: [partition(2)] });
			await ask("that is told of nothing", id, 4);
			const all = { forgottenTopicsData: [{ ...names, partitions: [0, 2] }] };
			await ask("that forgets everything", id, 5, all);
			await ask("that is gone", id, 6);
			await ask("one partition twice", 0, -1, { topics: [partition(0), partition(0)] });
		},
	}),
	scenario({
		api: "Fetch",
		name: "what is waited for",
		waits: true,
		prepare: (session) => filledTopic(session, "fetch-waits"),
		async run(session, version, _, topic) {
			const wait = async (
				label: string,
				offset: number,
				more: Record<string, number>,
				others = [],
			): Promise<[string, boolean]> => {
				const asked = fetchRequest(topic, offset, { maxWaitMs: WAIT_MS, ...more });
				const topics = [...others, ...asked.topics];
				const own = session.another();
				const startedMs = performance.now();
				await own.prepare("Fetch", version, { ...asked, topics });
				const tookMs = performance.now() - startedMs;
				await own.close();
				return [label, tookMs >= WAIT_MS - EARLY_MS_MAX];
			};
			const unknown = fetchRequest(unknownTopic, 0).topics;
			const waits = await Promise.all([
				wait("nothing new", 6, { minBytes: 1 }),
				wait("nothing new, which is enough", 6, { minBytes: 0 }),
				wait("more than there is", 0, { minBytes: 100_000 }),
				wait("more than fits", 0, { minBytes: 100_000, maxBytes: 100 }),
				wait("behind the end", 7, { minBytes: 1 }),
				wait("a partition that is not there", 0, { minBytes: 1, partition: 1 }),
				wait("nothing new beside an unknown topic", 6, { minBytes: 1 }, unknown as never),
			]);
			for (const [label, hasWaited] of waits) session.note(label, { hasWaited });
		},
	}),
	scenario({
		api: "Fetch",
		name: "a log that begins later",
		needs: ["DeleteRecords"],
		async prepare(session) {
			const topic = await filledTopic(session, "fetch-start");
			const partitions = [{ partitionIndex: 0, offset: 3 }];
			const topics = [{ name: topic.name, partitions }];
			await session.prepare("DeleteRecords", 2, { topics, timeoutMs: 120_000 });
			return topic;
		},
		async run(session, version, _, topic) {
			for (const offset of [0, 2, 3]) {
				await session.ask("Fetch", version, fetchRequest(topic, offset), `offset ${offset}`);
			}
		},
	}),
];

// ListOffsets

const listOffsetsRequest = (
	topic: TopicNames,
	timestamp: number,
	{ partitionIndex = 0, currentLeaderEpoch = -1, isolationLevel = 0 } = {},
) => ({
	replicaId: -1,
	isolationLevel,
	topics: [{ name: topic.name, partitions: [{ partitionIndex, currentLeaderEpoch, timestamp }] }],
});

const listOffsetsScenarios: Scenario[] = [
	scenario({
		api: "ListOffsets",
		name: "ends and times",
		prepare: (session) => filledTopic(session, "list-times"),
		async run(session, version, _, topic) {
			const timestamps = [-1, -2, -3, -4, -5, -6, -7, 0, 1, Date.now() + 1e9, -99];
			for (const timestamp of timestamps) {
				const label = timestamp > 1 ? "a later time" : `time ${timestamp}`;
				const answer = listOffsetsRequest(topic, timestamp);
				await session.ask("ListOffsets", version, answer, label);
			}
			const committed = listOffsetsRequest(topic, -1, { isolationLevel: 1 });
			await session.ask("ListOffsets", version, committed, "committed");
		},
	}),
	scenario({
		api: "ListOffsets",
		name: "an empty topic",
		prepare: (session) => session.topic("list-empty"),
		async run(session, version, _, topic) {
			for (const timestamp of [-1, -2, -3, 0]) {
				const request = listOffsetsRequest(topic, timestamp);
				await session.ask("ListOffsets", version, request, `time ${timestamp}`);
			}
		},
	}),
	scenario({
		api: "ListOffsets",
		name: "places that are not there",
		prepare: (session) => filledTopic(session, "list-places"),
		async run(session, version, _, topic) {
			const ask = (asked: TopicNames, more: object) =>
				session.ask("ListOffsets", version, listOffsetsRequest(asked, -1, more));
			await ask(topic, { partitionIndex: 1 });
			await ask(unknownTopic, {});
			await ask({ ...unknownTopic, name: "not a name" }, {});
			await ask(topic, { currentLeaderEpoch: 1_000_000 });
			const twice = listOffsetsRequest(topic, -1);
			const [named] = twice.topics;
			const [part] = named?.partitions ?? [];
			const topics = [{ ...named, partitions: [part, part] }];
			await session.ask("ListOffsets", version, { ...twice, topics } as never, "twice");
		},
	}),
	scenario({
		api: "ListOffsets",
		name: "timestamps of records",
		prepare: (session) => filledTopic(session, "list-records"),
		async run(session, version, _, topic) {
			// The records' own time, to the millisecond.
			const at = Number(Buffer.from(batch(["a", "b"])).readBigInt64BE(27));
			for (const difference of [-1, 0, 1_000_000]) {
				const request = listOffsetsRequest(topic, at + difference);
				await session.ask("ListOffsets", version, request, `${difference} ms`);
			}
		},
	}),
];

export const recordScenarios: readonly Scenario[] = [
	...produceScenarios,
	...fetchScenarios,
	...listOffsetsScenarios,
];
