/**
 * Every API at every version, asked well-formed but random questions, and then the same with bytes
 * damaged on their way: each is answered by what the version's codec can read, or ends the
 * connection where it must; nobody else notices, and nothing is logged that would be a bug.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { pino } from "pino";
import { afterAll, afterEach, beforeAll, expect, onTestFinished, test } from "vitest";
import { type Broker, startBroker } from "../../src/broker.ts";
import { LiveConfig } from "../../src/config/live.ts";
import { resolveConfig } from "../../src/config/load.ts";
import type { ApiFacts } from "../../src/kafka/api.ts";
import { SERVED_APIS } from "../../src/kafka/handlers/table.ts";
import { Logs } from "../../src/log.ts";
import { CODES } from "../../src/protocol/codes.ts";
import { RUNS_LONG_TESTS } from "../optional-parts.ts";
import { recordBatch } from "../record-batch.ts";
import { seed } from "../seed.ts";
import { decodeResponse, encodeRequest, type Fields } from "./client-codec.ts";
import { type Below, damaged, numbersOf } from "./damage.ts";
import { versionsOf } from "./generated-schemas.ts";
import { pick } from "./pick.ts";
import { RANDOM_TOPICS, RandomRequests } from "./random-request.ts";
import { RawKafkaClient } from "./raw-client.ts";
import { kafkaPortOf, newTopic } from "./use-broker.ts";

/** Requests of each version of each API. */
const ROUNDS = RUNS_LONG_TESTS ? 60 : 3;
/** A busy machine takes thirty times as long. */
const MINUTES_MAX = RUNS_LONG_TESTS ? 30 : 10;
/** Requests that one connection sends at once at most. */
const PIPELINED_MAX = 6;
/** How long an answer may take, in milliseconds; none waits for more than a tenth of that. */
const ANSWER_MS_MAX = 60_000;
/** How long a damaged request is waited for before its client goes. */
const PATIENCE_MS = 20;

interface LogLine {
	readonly level: number;
	readonly msg: string;
	readonly err?: { readonly type: string; readonly stack: string };
}
const WARN = 40;

/** What is logged of clients that do wrong, or go; anything else that was thrown is a bug. */
const CLIENTS_ERRORS = ["MillraceError", "KafkaFrameError", "Error"];

// On a disk, so that some answers have to wait.
const dataDir = mkdtempSync(join(tmpdir(), "millrace-random-"));
let broker: Broker;
let neighbour: RawKafkaClient;
const bugs: LogLine[] = [];
const logger = pino(
	{ level: "debug" },
	{
		write(text: string) {
			const line = JSON.parse(text) as LogLine;
			const isBug = line.err !== undefined && !CLIENTS_ERRORS.includes(line.err.type);
			if (line.level > WARN || isBug) bugs.push(line);
		},
	},
);

beforeAll(async () => {
	const flags = {
		"data-dir": dataDir,
		"log-level": "debug",
		websocket: "127.0.0.1:0",
		kafka: "127.0.0.1:0",
		"group-initial-rebalance-delay-ms": "0",
		// Groups wait for members that are gone.
		"group-min-session-timeout-ms": "1",
	};
	const live = new LiveConfig(resolveConfig({ flags }));
	broker = await startBroker(live, { memory: false, logs: new Logs(live, logger) });
	neighbour = await RawKafkaClient.connect(kafkaPortOf(broker));
});
afterEach(() => expect(bugs.splice(0), `seed ${seed}`).toEqual([]));
afterAll(async () => {
	await neighbour.close();
	await broker.close();
	rmSync(dataDir, { recursive: true });
});

interface Call {
	readonly name: string;
	readonly version: number;
	readonly fields: Fields;
}

const textOf = ({ name, version, fields }: Call): string => {
	const text = JSON.stringify(fields, (_name, value) =>
		typeof value === "bigint" ? value.toString() : value,
	);
	return `seed ${seed}: ${name} ${version} ${text.slice(0, 2_000)}`;
};

/** Every version of every API, as often as asked, in random order. */
function versionsInTurn(rounds: number, below: Below): readonly [ApiFacts, number][] {
	const all: [ApiFacts, number][] = [];
	for (let round = 0; round < rounds; round++) {
		for (const { facts } of SERVED_APIS.values()) {
			for (const version of versionsOf(facts))
				all.splice(below(all.length + 1), 0, [facts, version]);
		}
	}
	return all;
}

/** Resolves like `promise`; rejects when that takes too long. */
async function inTime<Result>(promise: Promise<Result>, what: string): Promise<Result> {
	let timer: NodeJS.Timeout | undefined;
	const late = new Promise<never>((_, reject) => {
		timer = setTimeout(() => reject(new Error(`no answer in time, ${what}`)), ANSWER_MS_MAX);
	});
	return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** The neighbour makes the topics that were deleted, and is answered. */
async function expectNeighbourServed(): Promise<void> {
	const topics = RANDOM_TOPICS.map((topic) => newTopic(topic, { numPartitions: 2 }));
	const asked = neighbour.request("CreateTopics", 5, { topics, timeoutMs: ANSWER_MS_MAX });
	const answer = await inTime(asked, "to a neighbour");
	for (const { errorCode } of answer.topics as readonly Fields[]) {
		expect([CODES.NONE.code, CODES.TOPIC_ALREADY_EXISTS.code]).toContain(errorCode);
	}
}

/** The fields of an answer; throws with the question where it cannot be read. */
function readAnswer(call: Call, correlationId: number, frame: Uint8Array): Fields {
	try {
		const answer = decodeResponse(call.name, call.version, frame);
		expect(answer.correlationId).toBe(correlationId);
		return answer.fields;
	} catch (error) {
		throw new Error(textOf(call), { cause: error });
	}
}

/** A frame as it is on the wire. */
function withLength(frame: Buffer): Buffer {
	const length = Buffer.alloc(4);
	length.writeInt32BE(frame.length);
	return Buffer.concat([length, frame]);
}

/** A produce request of which the client wants no answer: when it fails, the connection ends. */
const isUnanswered = ({ name, fields }: Call) => name === "Produce" && fields.acks === 0;

/** Asks all at once over a connection of its own and answers what was answered. */
async function askTogether(calls: readonly Call[]): Promise<Fields[]> {
	const client = await RawKafkaClient.connect(kafkaPortOf(broker));
	try {
		const ids = calls.map(({ name, version, fields }) => client.send(name, version, fields));
		const answers: Fields[] = [];
		let mayEnd = false;
		for (const [index, call] of calls.entries()) {
			mayEnd ||= isUnanswered(call);
			if (isUnanswered(call)) continue;
			const frame = await inTime(client.frame(), textOf(call)).catch((error: Error) => {
				if (mayEnd && error.message === "the connection ended") return null;
				throw new Error(textOf(call), { cause: error });
			});
			if (frame === null) break;
			answers.push(readAnswer(call, ids[index] as number, frame));
		}
		expect(client.framesWaiting).toBe(0);
		return answers;
	} finally {
		await client.close();
	}
}

test(
	"well-formed requests are answered, whatever they ask",
	async () => {
		const below = numbersOf(seed);
		const requests = new RandomRequests(below);
		const turns = versionsInTurn(ROUNDS, below);
		for (let at = 0; at < turns.length; ) {
			const together = turns.slice(at, at + 1 + below(PIPELINED_MAX));
			at += together.length;
			const calls = together.map(([{ name }, version]) => ({
				name,
				version,
				fields: requests.request(name, version),
			}));
			for (const answer of await askTogether(calls)) requests.learn(answer);
			await expectNeighbourServed();
		}
	},
	MINUTES_MAX * 60_000,
);

test(
	"damaged requests harm nobody",
	async () => {
		const below = numbersOf(seed + 1);
		const requests = new RandomRequests(below);
		for (const [{ name }, version] of versionsInTurn(ROUNDS, below)) {
			const whole = encodeRequest(name, version, requests.request(name, version));
			const client = await RawKafkaClient.connect(kafkaPortOf(broker));
			if (below(4) > 0) client.sendFrame(damaged(whole, below));
			else client.sendBytes(damaged(withLength(whole), below));
			// It may still be a request, and one that is to wait for long.
			client.socket.end();
			await Promise.race([client.closed, sleep(PATIENCE_MS)]);
			await client.close();
			await expectNeighbourServed();
		}
	},
	MINUTES_MAX * 60_000,
);

test("records are taken and given as ever behind all that", async () => {
	const client = await RawKafkaClient.connect(kafkaPortOf(broker));
	onTestFinished(() => client.close());
	await client.request("CreateTopics", 5, {
		topics: [newTopic("as-ever")],
		timeoutMs: ANSWER_MS_MAX,
	});
	const records = recordBatch([Buffer.from("as ever")]);
	const topicData = [{ name: "as-ever", partitionData: [{ index: 0, records }] }];
	const produced = await client.request("Produce", 9, {
		acks: -1,
		timeoutMs: ANSWER_MS_MAX,
		topicData,
	});
	const produceAnswer = pick(produced, "responses", 0, "partitionResponses", 0);
	expect(produceAnswer).toMatchObject({ errorCode: 0, baseOffset: 0 });
	const partitions = [{ partition: 0, fetchOffset: 0, partitionMaxBytes: 1_000_000 }];
	const topics = [{ topic: "as-ever", partitions }];
	const fetched = await client.request("Fetch", 12, { maxBytes: 1_000_000, topics });
	const fetchAnswer = pick(fetched, "responses", 0, "partitions", 0);
	expect(Buffer.from(fetchAnswer.records as Uint8Array).includes("as ever")).toBe(true);
});

test("an answer that cannot be read is found out, and so is a bug in the log", () => {
	const call = { name: "Heartbeat", version: 4, fields: {} };
	const frame = Buffer.from("00000007 00 00000000 0000 00".replaceAll(" ", ""), "hex");
	expect(readAnswer(call, 7, frame)).toEqual({ throttleTimeMs: 0, errorCode: 0 });
	for (const damage of [frame.subarray(1), Buffer.concat([frame, frame]), frame.subarray(0, 8)]) {
		expect(() => readAnswer(call, 7, damage)).toThrow(`seed ${seed}: Heartbeat 4`);
	}
	expect(() => readAnswer(call, 8, frame)).toThrow(`seed ${seed}: Heartbeat 4`);
	logger.debug({ err: new RangeError("not an int32: 2147483648") }, "closing a connection");
	expect(bugs.splice(0)).toMatchObject([{ err: { type: "RangeError" } }]);
});
