/**
 * The promise: compaction keeps the last value of every key, unchanged and under the offset that it
 * was acknowledged at, however often the broker is killed while it compacts and takes records from
 * both protocols. A key whose last value is a tombstone is gone or says so.
 */
import { randomInt } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { expect } from "vitest";

import { type Client, connect } from "../../src/client/index.ts";
import { BrokerProcess, runCommand, temporaryDirectory } from "../broker-process.ts";
import { noteFinalState } from "./history/final-state.ts";
import { type Ack, type FinalLog, History } from "./history/history.ts";
import { kafkaClient, produceOverKafka } from "./history/kafka-load.ts";
import { killAgainAndAgain, moreAcks, testBrokers } from "./history/kills.ts";
import { produceOverWebSocket } from "./history/websocket-load.ts";

const PARTITIONS = 2;
/** Brokers, and how often each is killed; the first is for every run. */
const KILLS = [3, 15, 15, 15, 15];
const ACKS_MIN = 300;
const LATER_MS_MAX = 400;
const RATE_PER_SECOND_MAX = 1_500;
const COMPACTED_MS_MAX = 180_000;
const TOMBSTONES = 20;

const CONFIGS = {
	"cleanup.policy": "compact",
	"segment.bytes": 1_048_576,
	// Segments close all the time, and are open to compaction as soon as they are closed.
	"segment.ms": 150,
	"min.cleanable.dirty.ratio": 0.01,
	"delete.retention.ms": 100,
};
const FLAGS = ["--log-cleaner-backoff-ms", "20"];

const placeOf = ({ partition, offset }: { partition: number; offset: number }) =>
	`${partition} ${offset}`;
const nameOf = ({ producer, number }: { producer: string; number: number }) =>
	`${producer}/${number}`;

testBrokers(KILLS, async (kills) => {
	const dataDir = temporaryDirectory();
	let broker = await BrokerProcess.start({ dataDir, flags: FLAGS });
	const { port, kafka } = broker;
	const client = await connect(broker.url, { reconnectMsMax: 100 });
	await client.topics.create("state", { partitions: PARTITIONS, configs: CONFIGS });
	await client.topics.create("gone", { configs: CONFIGS });
	const history = new History();
	const ended = new AbortController();
	const { signal } = ended;
	const load = { history, topic: "state", partitions: PARTITIONS, signal };
	const limits = { ratePerSecondMax: RATE_PER_SECOND_MAX };
	const producers = [
		produceOverWebSocket(client, { ...load, ...limits, name: "websocket" }),
		produceOverKafka(kafkaClient(kafka as string), {
			...load,
			name: "kafka",
			isIdempotent: true,
		}),
	];
	const running = Promise.all(producers);

	await sendTombstones(client);
	const enough = () => moreAcks(history, ACKS_MIN, running);
	const killing = { kills, dataDir, flags: FLAGS, enough, laterMsMax: LATER_MS_MAX };
	broker = await killAgainAndAgain(broker, killing);
	ended.abort();
	await running;

	for (const isLast of [false, true]) {
		const removed = await compactedCount(client, history);
		expect(removed, "most of what was sent is gone").toBeGreaterThan(history.acks.length / 2);
		await expectLastValues(client, history);
		await expectNoDeletedKeys(client);
		if (isLast) break;
		// Once more after an orderly end.
		expect(await broker.stop()).toMatchObject({ code: 0 });
		expect(await runCommand(["verify", "--data-dir", dataDir])).toMatchObject({ code: 0 });
		broker = await BrokerProcess.start({ dataDir, port, flags: FLAGS });
	}
	await client.close();
	expect(await broker.stop()).toMatchObject({ code: 0 });
});

/** Waits until compaction has taken most of what it can, and counts that. */
async function compactedCount(client: Client, history: History): Promise<number> {
	for (const deadlineMs = Date.now() + COMPACTED_MS_MAX; ; await sleep(100)) {
		history.finalLogs.splice(0);
		await noteFinalState(client, history, ["state"]);
		const left = history.finalLogs.reduce((sum, { records }) => sum + records.length, 0);
		const removed = history.acks.length - left;
		if (removed > history.acks.length / 2 || Date.now() > deadlineMs) return removed;
	}
}

/** Everything is where it was acknowledged, and the last of every key is there. */
async function expectLastValues(client: Client, history: History): Promise<void> {
	expect(history.acks).toHaveLength(history.sends.length);
	const acked = new Map(history.acks.map((ack) => [placeOf(ack), nameOf(ack)]));
	const lasts = new Map<string, Ack>();
	for (const ack of history.acks) {
		const key = `${ack.partition} ${ack.number % 100}`;
		if (ack.offset > (lasts.get(key)?.offset ?? -1)) lasts.set(key, ack);
	}
	const stored = new Map(
		history.finalLogs.flatMap(({ partition, records }) =>
			records.map((record) => [placeOf({ ...record, partition }), nameOf(record)] as const),
		),
	);
	const moved = [...stored].filter(([place, name]) => acked.get(place) !== name);
	expect(moved).toEqual([]);
	const lost = [...lasts.values()].filter((ack) => stored.get(placeOf(ack)) !== nameOf(ack));
	expect(lost).toEqual([]);
	// Whoever starts in a hole gets what comes behind it; compaction may have gone on meanwhile.
	const { partition, records, end } = history.finalLogs[0] as FinalLog;
	const from = randomInt(end);
	const consumer = client.consumer({
		topics: { topic: "state", partitions: [partition] },
		codec: "bytes",
		from: { offset: from },
		until: "end",
	});
	const seen: number[] = [];
	for await (const { offset } of consumer) seen.push(offset);
	const offsets = records.map(({ offset }) => offset).filter((offset) => offset >= from);
	expect(seen).toEqual(offsets.filter((offset) => seen.includes(offset)));
	const kept = [...lasts.values()].filter((ack) => ack.partition === partition);
	const missed = kept.filter(({ offset }) => offset >= from && !seen.includes(offset));
	expect(missed).toEqual([]);
}

/** Keys that have a value, then none. */
async function sendTombstones(client: Client): Promise<void> {
	const producer = client.producer<string>();
	for (const value of ["value", null]) {
		for (let key = 0; key < TOMBSTONES; key++) {
			await producer.send({ topic: "gone", key: `key ${key}`, value });
		}
	}
	await producer.close();
}

async function expectNoDeletedKeys(client: Client): Promise<void> {
	const latest = new Map<string | null, string | null>();
	const consumer = client.consumer<string>({ topics: "gone", from: "earliest", until: "end" });
	for await (const { keyText, value } of consumer) latest.set(keyText, value);
	expect([...latest.values()].filter((value) => value !== null)).toEqual([]);
}
