import { setTimeout as sleep } from "node:timers/promises";
import { expect } from "vitest";

import { type Client, connect } from "../../src/client/index.ts";
import { MillraceError } from "../../src/protocol/error.ts";
import { BrokerProcess, runCommand, temporaryDirectory } from "../broker-process.ts";
import { noteFinalState } from "./history/final-state.ts";
import { type Ack, History, recordValue } from "./history/history.ts";
import { kafkaClient, produceOverKafka } from "./history/kafka-load.ts";
import { killAgainAndAgain, moreAcks, testBrokers } from "./history/kills.ts";
import { describeViolations, violationsIn } from "./history/violations.ts";
import { produceOverWebSocket } from "./history/websocket-load.ts";

const PARTITIONS = 2;
/** Brokers, and how often each is killed; the first is for every run. */
const KILLS = [2, 12, 12, 12];
const ACKS_MIN = 500;
const LATER_MS_MAX = 400;
const SETTLE_MS_MAX = 180_000;
/** At so many places a log is to be seen to start. */
const STARTS_MIN = 3;

const RETENTION_MS = 1_000;
const RETENTION_BYTES = 1_500_000;
const SEGMENT_BYTES = 1_048_576;
/** More than what a record takes beside its value, its part of a batch header included. */
const RECORD_OVERHEAD_BYTES = 120;

const TOPICS = [
	{ topic: "by-age", configs: { "retention.ms": RETENTION_MS, "segment.ms": 200 } },
	{
		topic: "by-size",
		configs: {
			"retention.ms": -1,
			"retention.bytes": RETENTION_BYTES,
			"segment.bytes": SEGMENT_BYTES,
		},
	},
] as const;
const FLAGS = ["--log-retention-check-interval-ms", "50"];

/** Where a partition started, as the broker said at a time. */
interface Start {
	readonly topic: string;
	readonly partition: number;
	readonly logStart: number;
	readonly toldMs: number;
}

testBrokers(KILLS, async (kills) => {
	const dataDir = temporaryDirectory();
	let broker = await BrokerProcess.start({ dataDir, flags: FLAGS });
	const { kafka } = broker;
	const client = await connect(broker.url, { reconnectMsMax: 100 });
	const history = new History();
	const [ended, watched] = [new AbortController(), new AbortController()];
	const tasks = await Promise.all(
		TOPICS.map(async ({ topic, configs }) => {
			await client.topics.create(topic, { partitions: PARTITIONS, configs });
			const load = { history, topic, partitions: PARTITIONS, signal: ended.signal };
			const name = `kafka-${topic}`;
			return [
				produceOverWebSocket(client, { ...load, name: `websocket-${topic}` }),
				produceOverKafka(kafkaClient(kafka as string), { ...load, name, isIdempotent: true }),
			];
		}),
	);
	const running = Promise.all(tasks.flat());
	const starts: Start[] = [];
	const watching = watchStarts(client, starts, watched.signal);

	const enough = () => moreAcks(history, ACKS_MIN, running);
	const killing = { kills, dataDir, flags: FLAGS, enough, laterMsMax: LATER_MS_MAX };
	broker = await killAgainAndAgain(broker, killing);
	const isLarge = () => storedBytes(history) > 2 * PARTITIONS * RETENTION_BYTES;
	while (!isLarge() || !hasMovedOn(starts)) await Promise.race([sleep(20), running, watching]);
	ended.abort();
	await running;
	await settled(client, history);
	watched.abort();
	await watching;

	await noteFinalState(client, history, ["by-age", "by-size"]);
	await client.close();
	expect(await broker.stop()).toMatchObject({ code: 0 });
	expect(describeViolations(violationsIn(history))).toBe("");
	expectOldGone(history, starts);
	for (const { topic, logStart, end, records } of history.finalLogs) {
		if (topic !== "by-size") continue;
		expect(logStart).toBeGreaterThan(0);
		expect(records).toHaveLength(end - logStart);
		const valueBytes = records.reduce((sum, name) => sum + recordValue(name).length, 0);
		const bytesMax = valueBytes + records.length * RECORD_OVERHEAD_BYTES;
		expect(bytesMax).toBeGreaterThanOrEqual(RETENTION_BYTES);
		expect(valueBytes).toBeLessThan(RETENTION_BYTES + SEGMENT_BYTES);
	}
	expect(await runCommand(["verify", "--data-dir", dataDir])).toMatchObject({ code: 0 });
});

/** Bytes of the values that were acknowledged in the topic by size and that `isMeant` picks. */
function storedBytes({ acks }: History, isMeant: (ack: Ack) => boolean = () => true): number {
	const stored = acks.filter((ack) => ack.topic === "by-size" && isMeant(ack));
	return stored.reduce((sum, ack) => sum + recordValue(ack).length, 0);
}

/** Whether every partition of the log by age was seen to start here and there. */
function hasMovedOn(starts: readonly Start[]): boolean {
	return Array.from({ length: PARTITIONS }, (_, partition) => partition).every(
		(partition) => startsOf(starts, partition).size >= STARTS_MIN,
	);
}

/** Where a partition of the log by age started, each once. */
function startsOf(starts: readonly Start[], partition: number): Set<number> {
	const here = starts.filter((start) => start.topic === "by-age" && start.partition === partition);
	return new Set(here.map(({ logStart }) => logStart));
}

/** Asks again and again where partitions start. */
async function watchStarts(client: Client, starts: Start[], signal: AbortSignal): Promise<void> {
	for (; !signal.aborted; await sleep(20)) {
		for (const { topic } of TOPICS) {
			try {
				for (const { partition, log_start: logStart } of await client.offsets.describe(topic)) {
					starts.push({ topic, partition, logStart, toldMs: Date.now() });
				}
			} catch (error) {
				// There is no broker at the moment.
				if (!(error instanceof MillraceError)) throw error;
			}
		}
	}
}

/** Resolves when all of one topic is gone, as it is too old, and of the other what is too much. */
async function settled(client: Client, history: History): Promise<void> {
	for (const deadlineMs = Date.now() + SETTLE_MS_MAX; Date.now() < deadlineMs; await sleep(50)) {
		const old = await client.offsets.describe("by-age");
		const large = await client.offsets.describe("by-size");
		const isOldGone = old.every(({ log_start, high_watermark }) => log_start === high_watermark);
		const isSmall = large.every(
			({ partition, log_start }) =>
				storedBytes(history, (ack) => ack.partition === partition && ack.offset >= log_start) <
				RETENTION_BYTES + SEGMENT_BYTES,
		);
		if (isOldGone && isSmall) return;
	}
	throw new Error("old segments do not go");
}

/** What was below the start of a log by age had been sent so long before. */
function expectOldGone({ acks, sends }: History, starts: readonly Start[]): void {
	const sentMs = new Map(sends.map((send) => [`${send.producer}/${send.number}`, send.sentMs]));
	for (let partition = 0; partition < PARTITIONS; partition++) {
		const here = ({ topic, partition: its }: { topic: string; partition: number }) =>
			topic === "by-age" && its === partition;
		const mine = starts.filter(here);
		expect(startsOf(starts, partition).size).toBeGreaterThanOrEqual(STARTS_MIN);
		/** By offset; later records were not sent earlier than their neighbours by much. */
		const sent = acks.filter(here).map((ack) => ({
			offset: ack.offset,
			sentMs: sentMs.get(`${ack.producer}/${ack.number}`) as number,
		}));
		const early = mine.filter(({ logStart, toldMs }) =>
			sent.some((each) => each.offset < logStart && each.sentMs > toldMs - RETENTION_MS),
		);
		expect(early).toEqual([]);
		const back = mine.filter(({ logStart }, index) => logStart < (mine[index - 1]?.logStart ?? 0));
		expect(back, "a log start never goes back").toEqual([]);
	}
}
