/** Long answers, made in turns, are byte by byte those of the codec. */
import { expect, test } from "vitest";
import { systemClock } from "../../src/clock.ts";
import type { ServedApi } from "../../src/kafka/api.ts";
import type { Exchange } from "../../src/kafka/exchange.ts";
import { OFFSET_FETCH } from "../../src/kafka/generated/09-offset-fetch.ts";
import { DESCRIBE_GROUPS } from "../../src/kafka/generated/15-describe-groups.ts";
import { LIST_GROUPS } from "../../src/kafka/generated/16-list-groups.ts";
import { CREATE_TOPICS } from "../../src/kafka/generated/19-create-topics.ts";
import { DESCRIBE_CONFIGS } from "../../src/kafka/generated/32-describe-configs.ts";
import { DESCRIBE_CLIENT_QUOTAS } from "../../src/kafka/generated/48-describe-client-quotas.ts";
import { CONSUMER_GROUP_DESCRIBE } from "../../src/kafka/generated/69-consumer-group-describe.ts";
import { type LongResponse, serveLongApi, Turns } from "../../src/kafka/turns.ts";
import { KafkaReader } from "../../src/kafka/wire/reader.ts";
import type { KafkaApi } from "../../src/kafka/wire/schema.ts";
import { KafkaWriter } from "../../src/kafka/wire/writer.ts";
import { encodeMessage } from "./client-codec.ts";

const configs = [
	{ name: "name", value: "x".repeat(2_000), readOnly: false, isSensitive: false, synonyms: [] },
];
const resource = (index: number) => ({
	errorCode: 0,
	errorMessage: null,
	resourceType: 2,
	resourceName: `resource ${index}`,
	configs,
});
const topic = (index: number) => ({
	name: `topic ${index}`,
	topicId: "00000000-0000-0000-0000-000000000000",
	errorCode: 0,
	errorMessage: null,
	configs,
});

const writer = new KafkaWriter();

/** The answer of an API to an empty request, without its header. */
async function answerOf(
	api: ServedApi,
	version: number,
	{ isOver = false, clock = systemClock } = {},
): Promise<Buffer | null> {
	const request = encodeMessage(`${api.facts.name}Request`, version, {});
	const host = { writer, clock };
	const exchange = { host, apiVersion: version, isOver, throttleTimeMs: 0 } as unknown as Exchange;
	const write = await api.serve(new KafkaReader(request), exchange);
	if (write === null) return null;
	writer.start();
	write(writer);
	return Buffer.from(writer.finish());
}

function directly<Request, Response>(
	api: KafkaApi<Request, Response>,
	version: number,
	response: Response,
): Buffer {
	const direct = new KafkaWriter().start();
	api.writeResponse(direct, response, version);
	return Buffer.from(direct.finish());
}

const COUNTS = [0, 1, 31, 32, 33, 126, 127, 128, 300];

test.each([1, 3, 4])("DescribeConfigs version %i", async (version) => {
	for (const count of COUNTS) {
		const api = serveLongApi(DESCRIBE_CONFIGS, "results", () => ({
			rest: { throttleTimeMs: 7 },
			count,
			elementAt: resource,
		}));
		const results = Array.from({ length: count }, (_, index) => resource(index));
		const expected = directly(DESCRIBE_CONFIGS, version, { throttleTimeMs: 7, results });
		expect((await answerOf(api, version))?.equals(expected)).toBe(true);
	}
});

test.each([0, 1])("DescribeClientQuotas version %i", async (version) => {
	const entry = (index: number) => ({
		entity: [{ entityType: "user", entityName: index % 2 === 0 ? `user ${index}` : null }],
		values: [{ key: "producer_byte_rate", value: index }],
	});
	for (const count of [-1, ...COUNTS]) {
		const rest = { errorCode: 0, errorMessage: count < 0 ? "some" : null };
		const api = serveLongApi(DESCRIBE_CLIENT_QUOTAS, "entries", () => ({
			rest,
			count,
			elementAt: entry,
		}));
		const entries = count < 0 ? null : Array.from({ length: count }, (_, index) => entry(index));
		const expected = directly(DESCRIBE_CLIENT_QUOTAS, version, { ...rest, entries });
		expect((await answerOf(api, version))?.equals(expected)).toBe(true);
	}
});

test.each([2, 4, 5, 7])("CreateTopics version %i", async (version) => {
	for (const count of COUNTS) {
		const api = serveLongApi(CREATE_TOPICS, "topics", () => ({
			rest: {},
			count,
			elementAt: topic,
		}));
		const topics = Array.from({ length: count }, (_, index) => topic(index));
		const expected = directly(CREATE_TOPICS, version, { topics });
		expect((await answerOf(api, version))?.equals(expected)).toBe(true);
	}
});

/** Holds answers of all lengths against the codec's own way of writing them. */
async function holdAgainstCodec<Request, Response, Key extends keyof Response>(
	api: KafkaApi<Request, Response>,
	version: number,
	key: Key,
	{ rest, elementAt }: Omit<LongResponse<Response, Key>, "count">,
): Promise<void> {
	for (const count of COUNTS) {
		const served = serveLongApi(api, key, () => ({ rest, count, elementAt }));
		const elements = Array.from({ length: count }, (_, index) => elementAt(index));
		const response = { ...rest, [key]: elements } as unknown as Response;
		const expected = directly(api, version, response);
		expect((await answerOf(served, version))?.equals(expected)).toBe(true);
	}
}

test.each([8, 9, 10])("OffsetFetch version %i", async (version) => {
	const partitions = [{ partitionIndex: 1, committedOffset: 2, metadata: "some", errorCode: 0 }];
	await holdAgainstCodec(OFFSET_FETCH, version, "groups", {
		rest: { throttleTimeMs: 7 },
		elementAt: (index) => ({
			groupId: `group ${index}`,
			errorCode: 0,
			topics: [{ name: "topic", partitions }],
		}),
	});
});

test.each([0, 1, 4, 5, 6])("DescribeGroups version %i", async (version) => {
	await holdAgainstCodec(DESCRIBE_GROUPS, version, "groups", {
		rest: { throttleTimeMs: 7 },
		elementAt: (index) => ({
			errorCode: 0,
			groupId: `group ${index}`,
			groupState: "Empty",
			protocolType: "consumer",
			protocolData: "",
			members: [],
		}),
	});
});

test.each([0, 1])("ConsumerGroupDescribe version %i", async (version) => {
	await holdAgainstCodec(CONSUMER_GROUP_DESCRIBE, version, "groups", {
		rest: { throttleTimeMs: 7 },
		elementAt: (index) => ({
			errorCode: 0,
			errorMessage: null,
			groupId: `group ${index}`,
			groupState: "Empty",
			groupEpoch: 3,
			assignmentEpoch: 3,
			assignorName: "uniform",
			members: [],
		}),
	});
});

test.each([0, 1, 3, 4, 5])("ListGroups version %i", async (version) => {
	await holdAgainstCodec(LIST_GROUPS, version, "groups", {
		rest: { throttleTimeMs: 7, errorCode: 0 },
		elementAt: (index) => ({ groupId: `group ${index}`, protocolType: "consumer" }),
	});
});

test("elements are asked for once and in order, and no more once the client is gone", async () => {
	const asked: number[] = [];
	const api = serveLongApi(DESCRIBE_CONFIGS, "results", () => ({
		rest: {},
		count: 1_000,
		elementAt: (index) => {
			asked.push(index);
			return resource(index);
		},
	}));
	await answerOf(api, 4);
	expect(asked).toEqual(Array.from({ length: 1_000 }, (_, index) => index));
	asked.length = 0;
	expect(await answerOf(api, 4, { isOver: true })).toBeNull();
	expect(asked.length).toBeLessThan(100);
});

test("a piece ends where its elements have taken long enough", async () => {
	let nowMs = 0;
	let askedCount = 0;
	const api = serveLongApi(DESCRIBE_CONFIGS, "results", () => ({
		rest: {},
		count: 100,
		elementAt: (index) => {
			nowMs++;
			askedCount++;
			return resource(index);
		},
	}));
	const askedFirst = new Promise((resolve) => setImmediate(() => resolve(askedCount)));
	const answer = answerOf(api, 4, { clock: { ...systemClock, monotonicMs: () => nowMs } });
	expect(await askedFirst).toBe(2);
	const results = Array.from({ length: 100 }, (_, index) => resource(index));
	expect((await answer)?.equals(directly(DESCRIBE_CONFIGS, 4, { results }))).toBe(true);
});

test("others have a turn between pieces once a turn has been long enough", async () => {
	let nowMs = 0;
	const turns = new Turns({ ...systemClock, monotonicMs: () => nowMs });
	let hasHadTurn = false;
	setImmediate(() => {
		hasHadTurn = true;
	});
	nowMs = 1;
	await turns.pause();
	expect(hasHadTurn).toBe(false);
	nowMs = 2;
	await turns.pause();
	expect(hasHadTurn).toBe(true);
	hasHadTurn = false;
	setImmediate(() => {
		hasHadTurn = true;
	});
	nowMs = 3;
	await turns.pause();
	expect(hasHadTurn).toBe(false);
});
