/**
 * The promise: acknowledged means flushed. When the disk fails under a broker, what it cannot flush
 * is neither acknowledged nor shown to anyone, over either protocol; what it acknowledged and
 * showed before is on the disk.
 *
 * The broker writes to an ext4 whose image lies on a tmpfs that another file then fills: the page
 * cache still takes writes, and an fdatasync fails with EIO. A copy of the image as it was then,
 * without what waited in memory, is mounted and served.
 */
import { randomInt } from "node:crypto";
import { closeSync, openSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";

import { connect } from "../../src/client/index.ts";
import { BrokerProcess, temporaryDirectory } from "../broker-process.ts";
import { missingMounts, mountImage, mountMemory, mountNewImage, run } from "../mounts.ts";
import { noteFinalState } from "./history/final-state.ts";
import { LOAD_FLAGS } from "./history/flags.ts";
import { History } from "./history/history.ts";
import { kafkaClient, produceOverKafka } from "./history/kafka-load.ts";
import { describeViolations, violationsIn } from "./history/violations.ts";
import { produceOverWebSocket, readOverWebSocket, watchEnds } from "./history/websocket-load.ts";

const MEBIBYTE = 1_048_576;
/**
 * One log: of several that were flushed while ext4 gave up its journal, one fdatasync has been seen
 * to succeed whose bytes were not in the image then.
 */
const PARTITIONS = 1;
const KAFKA_RETRIES = 3;
/** What was on its way when the disk began to fail has come when nothing comes for so long. */
const GRACE_MS = 1_000;
const FAILING_MS = 1_500;
const SETTLE_MS_MAX = 60_000;
const LATER_MS_MAX = 500;
const ACKS_MIN = 200;

test("a disk that fails", async (context) => {
	const missing = missingMounts();
	if (missing !== null) context.skip(missing);
	const memory = mountMemory(64 * MEBIBYTE);
	const disk = mountNewImage(256 * MEBIBYTE, memory.directory);
	const broker = await BrokerProcess.start({
		dataDir: join(disk.directory, "data"),
		flags: LOAD_FLAGS,
	});
	const ended = new AbortController();
	const { signal } = ended;
	const client = await connect(broker.url, { signal });
	await client.topics.create("orders", { partitions: PARTITIONS });
	const history = new History();
	const load = { history, topic: "orders", partitions: PARTITIONS, signal };
	const kafka = kafkaClient(broker.kafka as string, KAFKA_RETRIES);
	const running = Promise.all([
		produceOverWebSocket(client, { ...load, name: "websocket" }),
		produceOverKafka(kafka, { ...load, name: "kafka", isIdempotent: false, isOver: signal }),
		readOverWebSocket(client, { ...load, reader: "reader" }),
		watchEnds(client, load),
	]);
	while (history.acks.length < ACKS_MIN) await Promise.race([sleep(10), running]);
	await sleep(randomInt(LATER_MS_MAX));

	const ballast = fill(memory.directory);
	const known = await settled(history);
	const sent = history.sends.length;
	await Promise.race([sleep(FAILING_MS), running]);
	expect(toldBy(history)).toEqual(known);
	expect(history.sends.length, "the Kafka producer still tries").toBeGreaterThan(sent);

	const copy = join(temporaryDirectory(), "copy");
	run("cp", ["--sparse=always", disk.imageFile as string, copy]);
	ended.abort();
	await broker.kill();
	await running;
	rmSync(ballast);
	disk.unmount();

	const after = mountImage(copy);
	const again = await BrokerProcess.start({ dataDir: join(after.directory, "data") });
	const reader = await connect(again.url);
	await noteFinalState(reader, history, ["orders"]);
	await reader.close();
	expect(await again.stop()).toMatchObject({ code: 0 });
	expect(describeViolations(violationsIn(history))).toBe("");
	process.stdout.write(`${history.acks.length} of ${history.sends.length} acked before\n`);
});

/** What clients were told: acks, records that they have seen, and the highest ends. */
const toldBy = (history: History) => [
	history.acks.length,
	history.sightings.length,
	...highestEnds(history),
];

/** What they were told when they are told no more. */
async function settled(history: History): Promise<number[]> {
	for (const deadlineMs = Date.now() + SETTLE_MS_MAX; Date.now() < deadlineMs; ) {
		const before = toldBy(history);
		await sleep(GRACE_MS);
		if (`${toldBy(history)}` === `${before}`) return before;
	}
	throw new Error("records are acknowledged or shown although the disk fails");
}

/** The highest end that was told of each partition. */
function highestEnds({ ends }: History): number[] {
	return Array.from({ length: PARTITIONS }, (_, partition) =>
		Math.max(...ends.filter((answer) => answer.partition === partition).map(({ end }) => end)),
	);
}

/** Takes all the room that there is in a file system; gives the file. */
function fill(directory: string): string {
	const file = join(directory, "ballast");
	const descriptor = openSync(file, "w");
	const zeroes = Buffer.alloc(MEBIBYTE);
	try {
		for (let bytes = zeroes; bytes.length > 0; ) {
			try {
				writeSync(descriptor, bytes);
			} catch (error) {
				if ((error as NodeJS.ErrnoException).code !== "ENOSPC") throw error;
				bytes = bytes.subarray(0, bytes.length >> 1);
			}
		}
	} finally {
		closeSync(descriptor);
	}
	return file;
}
