import { setTimeout as sleep } from "node:timers/promises";
import { expect } from "vitest";

import { type Client, connect } from "../../src/client/index.ts";
import { BrokerProcess, runCommand, temporaryDirectory } from "../broker-process.ts";
import { drain, noteFinalState } from "./history/final-state.ts";
import { LOAD_FLAGS } from "./history/flags.ts";
import { History } from "./history/history.ts";
import { joinOverKafka, kafkaClient, produceOverKafka } from "./history/kafka-load.ts";
import { killAgainAndAgain, testBrokers } from "./history/kills.ts";
import { describeViolations, violationsIn } from "./history/violations.ts";
import {
	joinOverWebSocket,
	produceOverWebSocket,
	readOverWebSocket,
	watchEnds,
} from "./history/websocket-load.ts";

const PARTITIONS = 3;
/** Brokers, and how often each is killed; the first is for every run. */
const KILLS = [3, 12, 12, 12, 12, 12, 12, 12];
/** Acknowledgements that every producer has between two kills, and time behind them at most. */
const ACKS_MIN = 20;
const LATER_MS_MAX = 250;
const RATE_PER_SECOND_MAX = 2_000;

/** A topic as it is by default, and one of small segments whose acks wait for no disk. */
const TOPICS = [
	{ topic: "flushed", configs: {} },
	{ topic: "relaxed", configs: { "flush.messages": 1_000_000, "segment.bytes": 1_048_576 } },
] as const;
const GROUPS = ["websocket-group", "kafka-group"] as const;

/** Everyone who has to do with a topic, until told to stop. */
function start(history: History, client: Client, bootstrap: string, topic: string) {
	const [producing, reading] = [new AbortController(), new AbortController()];
	const load = { history, topic, partitions: PARTITIONS, signal: producing.signal };
	const rate = { ratePerSecondMax: RATE_PER_SECOND_MAX };
	const producers = [
		produceOverWebSocket(client, { ...load, ...rate, name: `websocket-${topic}` }),
		...[true, false].map((isIdempotent) => {
			const name = `kafka-${isIdempotent ? "idempotent" : "plain"}-${topic}`;
			return produceOverKafka(kafkaClient(bootstrap), { ...load, name, isIdempotent });
		}),
	];
	const read = { history, topic, signal: reading.signal };
	const reader = `reader-${topic}`;
	const readers = [
		readOverWebSocket(client, { ...read, reader }),
		watchEnds(client, read),
		...(topic === "flushed" ? joinGroups(client, bootstrap, read) : []),
	];
	return { producers, producing, readers, reading, reader };
}

/** A group of each protocol, of two members each. */
function joinGroups(
	client: Client,
	bootstrap: string,
	read: { history: History; topic: string; signal: AbortSignal },
): Promise<void>[] {
	const [websocket, kafka] = GROUPS;
	return [1, 2].flatMap((number) => [
		joinOverWebSocket(client, { ...read, group: websocket, member: `websocket-${number}` }),
		joinOverKafka(kafkaClient(bootstrap), { ...read, group: kafka, member: `kafka-${number}` }),
	]);
}

/** Rejects with the first failure of tasks that run meanwhile. */
const beside = <Result>(tasks: readonly Promise<unknown>[], act: Promise<Result>) =>
	Promise.race([act, Promise.all(tasks).then(() => act)]);

/**
 * Resolves when each producer has so many acknowledgements more, and the group of Kafka consumers
 * has seen something more: kafkajs waits for ever where its broker dies while it connects.
 */
async function progress({ producers, acks, sightings }: History): Promise<void> {
	const [acksBefore, sightingsBefore] = [acks.length, sightings.length];
	for (;;) {
		const since = acks.slice(acksBefore);
		const counts = [...producers.keys()].map(
			(name) => since.filter(({ producer }) => producer === name).length,
		);
		const groups = sightings.slice(sightingsBefore).map(({ session }) => session.group);
		if (Math.min(...counts) >= ACKS_MIN && groups.includes("kafka-group")) return;
		await sleep(20);
	}
}

testBrokers(KILLS, async (kills) => {
	const dataDir = temporaryDirectory();
	let broker = await BrokerProcess.start({ dataDir, flags: LOAD_FLAGS });
	const { kafka } = broker;
	const client = await connect(broker.url, { reconnectMsMax: 100 });
	for (const { topic, configs } of TOPICS) {
		await client.topics.create(topic, { partitions: PARTITIONS, configs });
	}
	const history = new History();
	const loads = TOPICS.map(({ topic }) => start(history, client, kafka as string, topic));
	const all = loads.flatMap(({ producers, readers }) => [...producers, ...readers]);

	const enough = () => beside(all, progress(history));
	const killing = { kills, dataDir, flags: LOAD_FLAGS, enough, laterMsMax: LATER_MS_MAX };
	broker = await killAgainAndAgain(broker, killing);
	await enough();
	for (const { producing } of loads) producing.abort();
	await Promise.all(loads.flatMap(({ producers }) => producers));
	for (const [index, { topic }] of TOPICS.entries()) {
		const groups = topic === "flushed" ? GROUPS : [];
		const readers = [loads[index]?.reader as string, ...groups];
		await beside(all, drain(client, history, topic, readers));
	}
	for (const { reading } of loads) reading.abort();
	await Promise.all(all);

	const topics = TOPICS.map(({ topic }) => topic);
	await noteFinalState(client, history, topics, GROUPS);
	await client.close();
	expect(await broker.stop()).toMatchObject({ code: 0 });
	const { acks, sends, sightings, commits, ends, sessions } = history;
	process.stdout.write(
		`${sends.length} sent, ${acks.length} acked, ${sightings.length} seen, ` +
			`${commits.length} commits, ${sessions.length} sessions, ${ends.length} ends\n`,
	);
	expect(history.finalCommits).toHaveLength(GROUPS.length * PARTITIONS);
	expect(describeViolations(violationsIn(history))).toBe("");
	expect(await runCommand(["verify", "--data-dir", dataDir])).toMatchObject({ code: 0 });
});
