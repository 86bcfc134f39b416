/**
 * What one client writes, every other reads: all codecs, keys, headers, nulls and timestamps, and
 * the same key in the same partition whoever writes it.
 */
import { describe, expect, test } from "vitest";

import {
	type AckLine,
	CLIENT_PROGRAMS,
	type ClientProgram,
	CODECS,
	CONFLUENT,
	type Codec,
	type ConsumeStart,
	FRANZ,
	JAVA,
	KAFKAJS,
	type ProduceLine,
	type RecordLine,
	runProgram,
} from "./client-programs.ts";
import { createTopic, type KafkaTarget, serveKafka } from "./kafka-target.ts";

const PARTITIONS = 4;
/** For what hangs: several clients start together, some in Java. */
const CONSUME_MS_MAX = 180_000;

const at = serveKafka();
const base64 = (text: string): string => Buffer.from(text).toString("base64");
const commandOf = (client: ClientProgram, context: { skip(reason: string): never }): string[] =>
	client.commandLine() ?? context.skip(client.missing);

/** Past times, a second apart, so that none is the client's clock. */
const firstTimestampMs = Date.now() - 3_600_000;

/** A record of each kind that a codec is given. */
function recordsOf(client: ClientProgram, codec: Codec, codecIndex: number): ProduceLine[] {
	const id = (kind: string): string => `${client.name}/${codec}/${kind}`;
	const headers: [string, string | null][] = [
		["origin", base64(client.name)],
		["empty", ""],
	];
	if (client.hasNullHeaders) headers.push(["none", null]);
	const plain = { codec, partition: -1, key: null, timestamp: null, headers: [] };
	return [
		{ ...plain, key: base64("shared key"), value: base64(id("keyed")), headers },
		{ ...plain, key: base64("schlüssel"), value: base64(id("other key")) },
		{ ...plain, key: base64("gone"), value: null, timestamp: firstTimestampMs + codecIndex },
		{ ...plain, value: base64(id("no key")), timestamp: firstTimestampMs + 1_000 + codecIndex },
		{ ...plain, partition: 2, key: "", value: "" },
		{ ...plain, partition: 3, value: Buffer.from([0, 255, 128, 10, 13]).toString("base64") },
		{ ...plain, partition: 1, value: base64(id("long ").repeat(4_000)) },
	];
}

/** A record and where it went. */
interface Produced {
	readonly line: ProduceLine;
	readonly ack: AckLine;
}

async function produce(
	{ bootstrap }: KafkaTarget,
	commandLine: string[],
	topic: string,
	lines: readonly ProduceLine[],
): Promise<Produced[]> {
	const acks = await runProgram<AckLine>(commandLine, "produce", { bootstrap, topic }, lines);
	expect(acks.map(({ error }) => error)).toEqual(lines.map(() => undefined));
	return lines.map((line, index) => ({ line, ack: acks[index] as AckLine }));
}

function consume(
	{ bootstrap }: KafkaTarget,
	commandLine: string[],
	topic: string,
	{
		start = "earliest" as ConsumeStart,
		count,
		partitions = Array.from({ length: PARTITIONS }, (_, number) => number),
	}: { start?: ConsumeStart; count: number; partitions?: number[] },
): Promise<RecordLine[]> {
	const options = { bootstrap, topic, partitions, start, count, timeoutMs: CONSUME_MS_MAX };
	return runProgram<RecordLine>(commandLine, "consume", options);
}

/** In the order of the log, without what only the client's clock knows. */
function comparable(records: readonly (RecordLine | Produced)[]): object[] {
	const rows = records.map((record) => {
		if (!("ack" in record)) return record;
		const { line, ack } = record;
		return { ...ack, key: line.key, value: line.value, headers: line.headers };
	});
	rows.sort((left, right) => left.partition - right.partition || left.offset - right.offset);
	return rows.map(({ partition, offset, key, value, headers }) => ({
		partition,
		offset,
		key,
		value,
		headers,
	}));
}

describe("what one client writes, every other reads", () => {
	/** kafkajs has not all codecs built in and cannot read a topic with any other. */
	const isCommon = ({ codec }: ProduceLine): boolean => KAFKAJS.codecs.includes(codec);
	const topics = { common: "", packed: "" };
	const produced = { common: [] as Produced[], packed: [] as Produced[] };

	// Tried again, it would leave records to the readers that nobody noted.
	const once = { retry: 0 };
	test.for(CLIENT_PROGRAMS)("$name writes with all its codecs", once, async (client, context) => {
		const commandLine = commandOf(client, context);
		const lines = CODECS.flatMap((codec, index) =>
			client.codecs.includes(codec) ? recordsOf(client, codec, index) : [],
		);
		for (const kind of ["common", "packed"] as const) {
			const own = lines.filter((line) => isCommon(line) === (kind === "common"));
			if (own.length === 0) continue;
			topics[kind] ||= await createTopic(at(), PARTITIONS);
			produced[kind].push(...(await produce(at(), commandLine, topics[kind], own)));
		}
	});

	test("the same key goes to the same partition whoever writes it", () => {
		const partitionsByKey = new Map<string, Set<number>>();
		for (const { line, ack } of [...produced.common, ...produced.packed]) {
			if (line.partition >= 0) expect(ack.partition).toBe(line.partition);
			if (line.partition >= 0 || line.key === null) continue;
			const partitions = partitionsByKey.get(line.key) ?? new Set();
			partitionsByKey.set(line.key, partitions.add(ack.partition));
		}
		const sorted = [...partitionsByKey].map(([key, partitions]) => [
			Buffer.from(key, "base64").toString(),
			...partitions,
		]);
		expect(sorted.sort()).toEqual([
			["gone", 1],
			["schlüssel", 0],
			["shared key", 3],
		]);
	});

	test.for(CLIENT_PROGRAMS)("$name reads what all of them wrote", async (client, context) => {
		const commandLine = commandOf(client, context);
		const kinds = client === KAFKAJS ? (["common"] as const) : (["common", "packed"] as const);
		for (const kind of kinds) {
			// Where only kafkajs is there, it wrote nothing that it cannot read.
			if (produced[kind].length === 0) continue;
			const count = produced[kind].length;
			const records = await consume(at(), commandLine, topics[kind], { count });
			expect(comparable(records)).toEqual(comparable(produced[kind]));
			const timestamps = new Map(
				records.map(({ partition, offset, timestamp }) => [`${partition}:${offset}`, timestamp]),
			);
			for (const { line, ack } of produced[kind]) {
				const timestamp = timestamps.get(`${ack.partition}:${ack.offset}`);
				if (line.timestamp !== null) expect(timestamp).toBe(line.timestamp);
				else expect(Math.abs(Date.now() - (timestamp as number))).toBeLessThan(300_000);
			}
		}
	});
});

describe("timestamps by the broker", () => {
	test.for([CONFLUENT, JAVA, FRANZ])("$name is told LogAppendTime", async (client, context) => {
		const commandLine = commandOf(client, context);
		const topic = await createTopic(at(), 1, { "message.timestamp.type": "LogAppendTime" });
		const startMs = Date.now();
		const lines = client.codecs.map((codec, index) => ({
			codec,
			partition: 0,
			key: null,
			value: base64("value"),
			timestamp: firstTimestampMs + index,
			headers: [],
		}));
		await produce(at(), commandLine, topic, lines);
		const records = await consume(at(), commandLine, topic, {
			count: lines.length,
			partitions: [0],
		});
		expect(records.map(({ timestampType }) => timestampType)).toEqual(lines.map(() => 1));
		for (const { timestamp } of records) {
			expect(timestamp).toBeGreaterThanOrEqual(startMs);
			expect(timestamp).toBeLessThanOrEqual(Date.now());
		}
	});
});

describe("starting in the middle", () => {
	const COUNT = 100;
	let topic = "";

	test("records a second apart are written", async () => {
		topic = await createTopic(at(), 1);
		const commandLine = KAFKAJS.commandLine() as string[];
		const lines = Array.from({ length: COUNT }, (_, index) => ({
			codec: "none" as const,
			partition: 0,
			key: null,
			value: base64(`${index}`),
			timestamp: firstTimestampMs + 1_000 * index,
			headers: [],
		}));
		const produced = await produce(at(), commandLine, topic, lines);
		expect(produced.map(({ ack }) => ack.offset)).toEqual(lines.map((_, index) => index));
	});

	test.for(CLIENT_PROGRAMS)("$name starts at an offset, and at a time", async (client, context) => {
		const commandLine = commandOf(client, context);
		const partitions = [0];
		const read = async (start: ConsumeStart, count: number) => {
			const records = await consume(at(), commandLine, topic, { start, count, partitions });
			// What came in one answer with the last one is not held back by every program.
			return records.slice(0, count).map(({ offset }) => offset);
		};
		expect(await read({ offset: 95 }, 5)).toEqual([95, 96, 97, 98, 99]);
		// The first record whose time is not before the asked one.
		expect(await read({ timestamp: firstTimestampMs + 89_500 }, 3)).toEqual([90, 91, 92]);
		expect(await read({ timestamp: firstTimestampMs + 90_000 }, 1)).toEqual([90]);
	});
});
