/** Long answers, made in turns, are byte by byte those of the codec. */
import { expect, test } from "vitest";
import { systemClock } from "../../src/clock.ts";
import type { ServedApi } from "../../src/kafka/api.ts";
import type { Exchange } from "../../src/kafka/exchange.ts";
import { CREATE_TOPICS } from "../../src/kafka/generated/19-create-topics.ts";
import { DESCRIBE_CONFIGS } from "../../src/kafka/generated/32-describe-configs.ts";
import { DESCRIBE_CLIENT_QUOTAS } from "../../src/kafka/generated/48-describe-client-quotas.ts";
import { serveLongApi, Turns } from "../../src/kafka/turns.ts";
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
async function answerOf(api: ServedApi, version: number, isOver = false): Promise<Buffer | null> {
	const request = encodeMessage(`${api.facts.name}Request`, version, {});
	const host = { writer, clock: systemClock };
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
	expect(await answerOf(api, 4, true)).toBeNull();
	expect(asked.length).toBeLessThan(100);
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
