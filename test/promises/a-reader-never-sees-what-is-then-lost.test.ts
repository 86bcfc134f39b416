/**
 * The promise: a reader never sees unflushed-then-lost data as committed. A producer may ask for an
 * ack before the flush (`written`): where the disk fails then, such records are lost, and others
 * get their offsets. No reader has seen them, over either protocol, nor was told of an end behind
 * them, and no group has committed beyond what is there.
 */
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";

import { type Client, connect } from "../../src/client/index.ts";
import { BrokerProcess } from "../broker-process.ts";
import { missingMounts } from "../mounts.ts";
import { FailingDisk, type FailingPart } from "./history/failing-disk.ts";
import { drain, noteFinalState } from "./history/final-state.ts";
import { LOAD_FLAGS } from "./history/flags.ts";
import { History } from "./history/history.ts";
import { joinOverKafka, kafkaClient } from "./history/kafka-load.ts";
import { describeViolations, violationsIn } from "./history/violations.ts";
import {
	joinOverWebSocket,
	produceOverWebSocket,
	readOverWebSocket,
	watchEnds,
} from "./history/websocket-load.ts";

/** With more than one, what fails under one file may be in a commit of the journal for another. */
const PARTITIONS = { disk: 2, journal: 12 } as const;
const KAFKA_RETRIES = 3;
const ACKS_MIN = 300;
/** A broker whose disk has failed takes nothing more. */
const QUIET_MS = 500;
const GROUPS = ["websocket-group", "kafka-group"] as const;

/** Those who look, from now on until the signal; their names are new each time. */
function startReaders(
	history: History,
	client: Client,
	bootstrap: string,
	signal: AbortSignal,
	run: string,
): Promise<unknown> {
	const load = { history, topic: "orders", signal };
	const [websocket, kafka] = GROUPS;
	const member = { ...load, group: kafka, member: `kafka-${run}`, isOver: signal };
	return Promise.all([
		readOverWebSocket(client, { ...load, reader: `reader-${run}` }),
		watchEnds(client, load),
		joinOverWebSocket(client, { ...load, group: websocket, member: `websocket-${run}` }),
		joinOverKafka(kafkaClient(bootstrap, KAFKA_RETRIES), member),
	]);
}

const PARTS: readonly FailingPart[] = ["disk", "journal"];

test.for(PARTS)("where a %s fails", async (part, context) => {
	const missing = missingMounts();
	if (missing !== null) context.skip(missing);
	const disk = new FailingDisk(part);
	const partitions = PARTITIONS[part];
	const dataDir = join(disk.directory, "data");
	const broker = await BrokerProcess.start({ dataDir, flags: LOAD_FLAGS });
	const ended = new AbortController();
	const client = await connect(broker.url, { signal: ended.signal });
	await client.topics.create("orders", { partitions });
	const history = new History();
	const load = { history, topic: "orders", partitions };
	const reading = startReaders(history, client, broker.kafka as string, ended.signal, "before");
	const producing = produceOverWebSocket(client, {
		...{ ...load, signal: ended.signal, name: "hasty" },
		...{ durability: "written", isKept: false },
	} as const);
	const running = Promise.all([reading, producing]);
	const isReady = () =>
		history.acks.length > ACKS_MIN &&
		GROUPS.every((group) => history.commits.some((commit) => commit.group === group));
	while (!isReady()) await Promise.race([sleep(10), running]);
	disk.fail();
	await Promise.race([untilQuiet(history), running]);
	await broker.pause();
	const copy = disk.copy();
	ended.abort();
	await broker.kill();
	await running;
	const hasty = history.acks.length;

	// What was lost is not there; its offsets go to others, whom readers then see.
	const after = disk.replaceBy(copy);
	const again = await BrokerProcess.start({
		dataDir: join(after.directory, "data"),
		flags: LOAD_FLAGS,
	});
	const [stopped, over] = [new AbortController(), new AbortController()];
	const later = await connect(again.url);
	const careful = produceOverWebSocket(later, { ...load, signal: stopped.signal, name: "careful" });
	const readingAgain = startReaders(history, later, again.kafka as string, over.signal, "after");
	while (history.acks.length < hasty + ACKS_MIN) await Promise.race([sleep(10), careful]);
	stopped.abort();
	await careful;
	await Promise.race([readingAgain, drain(later, history, "orders", ["reader-after", ...GROUPS])]);
	over.abort();
	await readingAgain;
	await noteFinalState(later, history, ["orders"], GROUPS);
	await later.close();
	expect(await again.stop()).toMatchObject({ code: 0 });
	expect(describeViolations(violationsIn(history))).toBe("");
	process.stdout.write(`${lostCount(history)} of ${hasty} lost that were acked as written\n`);
});

/** Resolves once nothing has been acknowledged for a while. */
async function untilQuiet({ acks }: History): Promise<void> {
	for (let before = -1; acks.length > before; await sleep(QUIET_MS)) before = acks.length;
}

/** Acknowledged records that are not there. */
function lostCount({ acks, finalLogs }: History): number {
	const stored = new Set(
		finalLogs.flatMap(({ partition, records }) =>
			records.map(({ producer, offset }) => `${producer} ${partition} ${offset}`),
		),
	);
	return acks.filter((ack) => !stored.has(`${ack.producer} ${ack.partition} ${ack.offset}`)).length;
}
