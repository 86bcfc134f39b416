/**
 * The promise: a power cut loses nothing that was acknowledged as flushed, and consumers have seen
 * nothing that it takes away; what is left is a beginning of what there was, and groups go on where
 * they have committed.
 *
 * The broker writes to a loop-mounted file system under load from both protocols (`power-cut.ts`).
 */
import { randomInt } from "node:crypto";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";

import { type Client, connect, type Durability } from "../../src/client/index.ts";
import { BrokerProcess, runCommand } from "../broker-process.ts";
import { type ImageKind, missingMounts, mountNewImage } from "../mounts.ts";
import { missingPython, pythonBinary, RUNS_LONG_TESTS, TOO_LONG } from "../optional-parts.ts";
import { noteFinalState } from "./history/final-state.ts";
import { LOAD_FLAGS } from "./history/flags.ts";
import { History } from "./history/history.ts";
import { joinOverKafka, kafkaClient, produceOverKafka } from "./history/kafka-load.ts";
import { copyOf, cutPower, mountCopy } from "./history/power-cut.ts";
import { describeViolations, violationsIn } from "./history/violations.ts";
import {
	joinOverWebSocket,
	produceOverWebSocket,
	readOverWebSocket,
	watchEnds,
} from "./history/websocket-load.ts";

const IMAGE_BYTES = 320 * 1_048_576;
const PARTITIONS = 3;
const CUTS = 15;
/** Those that every run makes. */
const CUTS_SHORT = 2;
/** ext4 for those, then one after the other of what this machine has. */
const KINDS: readonly ImageKind[] = ["xfs", "btrfs", "ext4"];
/** Otherwise btrfs writes by itself every 30 s what nobody has synced. */
const LONG_COMMITS: Readonly<Partial<Record<ImageKind, string[]>>> = { btrfs: ["commit=300"] };

function kindOf(cut: number): ImageKind {
	const kinds = cut > CUTS_SHORT ? KINDS.filter((kind) => missingMounts(kind) === null) : [];
	return kinds[cut % kinds.length] ?? "ext4";
}

/** Topics under load, how they flush, and what their WebSocket producer asks for. */
const TOPICS = [
	{ topic: "flushed", configs: {}, durability: undefined },
	{ topic: "relaxed", configs: { "flush.messages": 1_000_000 }, durability: "flushed" },
	{
		topic: "mapped",
		configs: { "flush.ms": 200, "segment.bytes": 1_048_576 },
		durability: "flushed",
	},
] as const satisfies { topic: string; configs: object; durability: Durability | undefined }[];
/** Few: nobody comes back. */
const KAFKA_RETRIES = 3;
const GROUPS = ["websocket-group", "kafka-group"] as const;

/** Kafka's acks mean as much as its topic promises: what they tell of others may be lost. */
function startLoad(history: History, client: Client, bootstrap: string, signal: AbortSignal) {
	const [websocket, kafka] = GROUPS;
	const tasks = TOPICS.flatMap(({ topic, durability }) => {
		const isFlushed = topic === "flushed";
		if (!isFlushed) history.topicsSeenEarly.add(topic);
		const load = { history, topic, signal, partitions: PARTITIONS };
		const name = `websocket-${topic}`;
		const fromKafka = [true, false].map((isIdempotent) => {
			const producer = `kafka-${isIdempotent ? "idempotent" : "plain"}-${topic}`;
			const settings = { ...load, isIdempotent, isKept: isFlushed, isOver: signal };
			return produceOverKafka(kafkaClient(bootstrap, KAFKA_RETRIES), {
				...settings,
				name: producer,
			});
		});
		return [
			produceOverWebSocket(client, { ...load, name, ...(durability && { durability }) }),
			readOverWebSocket(client, { ...load, reader: `reader-${topic}` }),
			...fromKafka,
		];
	});
	const read = { history, topic: "flushed", signal };
	return [
		...tasks,
		watchEnds(client, read),
		joinOverWebSocket(client, { ...read, group: websocket, member: "websocket-1" }),
		joinOverKafka(kafkaClient(bootstrap, KAFKA_RETRIES), {
			...read,
			group: kafka,
			member: "kafka-1",
		}),
	];
}

test.for(Array.from({ length: CUTS }, (_, index) => index + 1))(
	"power cut %i: what was acknowledged as flushed, and what consumers saw, is there",
	async (cut, context) => {
		if (cut > CUTS_SHORT && !RUNS_LONG_TESTS) context.skip(TOO_LONG);
		const kind = kindOf(cut);
		const missing = missingMounts(kind);
		if (missing !== null) context.skip(missing);
		const python = pythonBinary() ?? context.skip(missingPython());

		const before = mountNewImage(IMAGE_BYTES, { kind, mounting: LONG_COMMITS[kind] ?? [] });
		const broker = await BrokerProcess.start({
			dataDir: join(before.directory, "data"),
			flags: LOAD_FLAGS,
		});
		const ended = new AbortController();
		const client = await connect(broker.url, { signal: ended.signal });
		for (const { topic, configs } of TOPICS) {
			await client.topics.create(topic, { partitions: PARTITIONS, configs });
		}
		const history = new History();
		const running = startLoad(history, client, broker.kafka as string, ended.signal);
		const failed = Promise.all(running);
		await Promise.race([failed, everyoneRuns(history)]);
		await Promise.race([failed, sleep(randomInt(1_500))]);

		await cutPower(broker, before, kind, python);
		ended.abort();
		const copy = copyOf(before);
		await broker.kill();
		await failed;
		before.unmount();

		const after = mountCopy(copy, kind);
		const dataDir = join(after.directory, "data");
		await noteWhatIsServed(dataDir, history);
		expect(describeViolations(violationsIn(history))).toBe("");
		const verified = await runCommand(["verify", "--data-dir", dataDir]);
		expect(verified, verified.stdout.toString() + verified.stderr).toMatchObject({ code: 0 });
		const { sends, acks, sightings, commits } = history;
		process.stdout.write(
			`${kind}: ${sends.length} sent, ${acks.length} acked, ${sightings.length} seen, ` +
				`${commits.length} commits\n`,
		);
	},
);

/** Resolves when every producer has acknowledgements, and every reader has seen something. */
async function everyoneRuns(history: History): Promise<void> {
	for (let waits = 0; ; waits++) {
		const idle = whoIsIdle(history);
		if (idle.length === 0) return;
		if (waits > 9_000) throw new Error(`nothing comes from ${idle.join(", ")}`);
		await sleep(20);
	}
}

function whoIsIdle({ producers, acks, sightings, commits }: History): string[] {
	const ACKS_MIN = 30;
	const acked = acks.map(({ producer }) => producer);
	const seen = new Set(sightings.map(({ session }) => session.group ?? session.reader));
	const committed = new Set(commits.map(({ group, ackedStep }) => ackedStep && group));
	const readers = [...TOPICS.map(({ topic }) => `reader-${topic}`), ...GROUPS];
	return [
		...[...producers.keys()].filter(
			(name) => acked.filter((each) => each === name).length <= ACKS_MIN,
		),
		...readers.filter((reader) => !seen.has(reader)),
		...GROUPS.filter((group) => !committed.has(group)).map((group) => `commits of ${group}`),
	];
}

/** What a broker serves from this directory, for the end of the history. */
async function noteWhatIsServed(dataDir: string, history: History): Promise<void> {
	const broker = await BrokerProcess.start({ dataDir });
	const client = await connect(broker.url);
	const topics = TOPICS.map(({ topic }) => topic);
	await noteFinalState(client, history, topics, GROUPS);
	expect(history.finalLogs).toHaveLength(TOPICS.length * PARTITIONS);
	expect(new Set(history.finalCommits.map(({ group }) => group))).toEqual(new Set(GROUPS));
	await client.close();
	expect(await broker.stop()).toMatchObject({ code: 0 });
}
