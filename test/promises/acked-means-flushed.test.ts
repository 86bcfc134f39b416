/**
 * The promise: acknowledged means flushed. When the disk fails under a broker, what it cannot flush
 * is neither acknowledged nor shown to anyone, over either protocol; what it acknowledged and
 * showed before is on the disk.
 *
 * A copy of the disk as it was then, without what waited in memory, is mounted and served.
 */
import { randomInt } from "node:crypto";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";

import { connect } from "../../src/client/index.ts";
import { BrokerProcess } from "../broker-process.ts";
import { missingMounts } from "../mounts.ts";
import { FailingDisk, type FailingPart } from "./history/failing-disk.ts";
import { noteFinalState } from "./history/final-state.ts";
import { LOAD_FLAGS } from "./history/flags.ts";
import { History } from "./history/history.ts";
import { kafkaClient, produceOverKafka } from "./history/kafka-load.ts";
import { describeViolations, violationsIn } from "./history/violations.ts";
import { produceOverWebSocket, readOverWebSocket, watchEnds } from "./history/websocket-load.ts";

/** With more than one, what fails under one file may be in a commit of the journal for another. */
const PARTITIONS = { disk: 2, journal: 12 } as const;
const KAFKA_RETRIES = 3;
/** What was on its way when the disk began to fail has come when nothing comes for so long. */
const QUIET_MS = 1_500;
const SETTLE_MS_MAX = 180_000;
const LATER_MS_MAX = 500;
const ACKS_MIN = 200;

const PARTS: readonly FailingPart[] = ["disk", "journal"];

test.for(PARTS)("where a %s fails", async (part, context) => {
	const missing = missingMounts();
	if (missing !== null) context.skip(missing);
	const disk = new FailingDisk(part);
	const partitions = PARTITIONS[part];
	const broker = await BrokerProcess.start({
		dataDir: join(disk.directory, "data"),
		flags: LOAD_FLAGS,
	});
	const ended = new AbortController();
	const { signal } = ended;
	const client = await connect(broker.url, { signal });
	await client.topics.create("orders", { partitions });
	const history = new History();
	const load = { history, topic: "orders", partitions, signal };
	const kafka = kafkaClient(broker.kafka as string, KAFKA_RETRIES);
	const running = Promise.all([
		produceOverWebSocket(client, { ...load, name: "websocket" }),
		produceOverKafka(kafka, { ...load, name: "kafka", isIdempotent: false, isOver: signal }),
		readOverWebSocket(client, { ...load, reader: "reader" }),
		watchEnds(client, load),
	]);
	while (history.acks.length < ACKS_MIN) await Promise.race([sleep(10), running]);
	await sleep(randomInt(LATER_MS_MAX));

	disk.fail();
	await Promise.race([untilQuiet(history, partitions), running]);

	// Whatever anyone was told is to be on this copy.
	await broker.pause();
	const copy = disk.copy();
	ended.abort();
	await broker.kill();
	await running;

	const after = disk.replaceBy(copy);
	const again = await BrokerProcess.start({ dataDir: join(after.directory, "data") });
	const reader = await connect(again.url);
	await noteFinalState(reader, history, ["orders"]);
	await reader.close();
	expect(await again.stop()).toMatchObject({ code: 0 });
	expect(describeViolations(violationsIn(history))).toBe("");
	process.stdout.write(`${history.acks.length} of ${history.sends.length} acked before\n`);
});

/** What clients were told: acks, records that they have seen, and the highest ends. */
const toldBy = (history: History, partitions: number) => [
	history.acks.length,
	history.sightings.length,
	...highestEnds(history, partitions),
];

/** Resolves when they are told no more for a while, in which the Kafka producer still tries. */
async function untilQuiet(history: History, partitions: number): Promise<void> {
	for (const deadlineMs = Date.now() + SETTLE_MS_MAX; Date.now() < deadlineMs; ) {
		const before = toldBy(history, partitions);
		const sent = history.sends.length;
		await sleep(QUIET_MS);
		while (history.sends.length <= sent && Date.now() < deadlineMs) await sleep(10);
		if (`${toldBy(history, partitions)}` === `${before}`) return;
	}
	throw new Error("records are acknowledged or shown although the disk fails");
}

/** The highest end that was told of each partition. */
function highestEnds({ ends }: History, partitions: number): number[] {
	return Array.from({ length: partitions }, (_, partition) =>
		Math.max(...ends.filter((answer) => answer.partition === partition).map(({ end }) => end)),
	);
}
