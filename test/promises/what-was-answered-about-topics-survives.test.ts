/**
 * The promise: what was answered about topics survives a power cut. A topic whose creation was
 * acknowledged is there, as it was configured last; one whose deletion was acknowledged is not;
 * records that were deleted do not come back.
 */
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";

import { type Client, connect } from "../../src/client/index.ts";
import type { MillraceError } from "../../src/protocol/error.ts";
import { BrokerProcess, runCommand } from "../broker-process.ts";
import { missingMounts, mountNewImage } from "../mounts.ts";
import { missingPython, pythonBinary } from "../optional-parts.ts";
import { kafkaClient } from "./history/kafka-load.ts";
import { copyOf, cutPower, mountCopy } from "./history/power-cut.ts";

const IMAGE_BYTES = 256 * 1_048_576;
const WORKERS = 4;
const ANSWERS_MIN = 60;
const DELETIONS_MIN = 3;
const KAFKA_RETRIES = 3;

/** A topic as it was asked for; null: it is gone. */
type State = { readonly partitions: number; readonly retentionMs: number } | null;

/** What may be there of a topic: what was answered last, and what has no answer yet. */
interface Known {
	answered: State;
	asked: State | undefined;
}

class Topics {
	readonly known = new Map<string, Known>();
	answers = 0;

	/** Notes what is asked for, before and after it is. */
	async change(name: string, to: State, ask: () => Promise<unknown>): Promise<void> {
		const known = this.known.get(name) ?? { answered: null, asked: undefined };
		this.known.set(name, known);
		known.asked = to;
		await ask();
		known.answered = to;
		known.asked = undefined;
		this.answers += 1;
	}
}

/** Creates topics, changes them and deletes every other one, until there is no broker. */
async function administrate(client: Client, topics: Topics, worker: number): Promise<void> {
	const { create, alter, addPartitions, ...rest } = bound(client);
	for (let number = 0; ; number++) {
		const name = `topic-${worker}-${number}`;
		const first = { partitions: 1, retentionMs: 60_000 + number };
		const configs = { "retention.ms": first.retentionMs };
		await topics.change(name, first, () => create(name, { partitions: 1, configs }));
		const second = { partitions: 1, retentionMs: 90_000 + number };
		const altered = { "retention.ms": second.retentionMs };
		await topics.change(name, second, () => alter(name, altered));
		await topics.change(name, { ...second, partitions: 3 }, () => addPartitions(name, 3));
		if (number % 2 === 1) await topics.change(name, null, () => rest.delete(name));
	}
}

const bound = ({ topics }: Client) => ({
	create: topics.create.bind(topics),
	alter: topics.alter.bind(topics),
	addPartitions: topics.addPartitions.bind(topics),
	delete: topics.delete.bind(topics),
});

/** Produces and deletes records; `starts` are the log starts that were answered and asked for. */
async function deleteRecords(
	client: Client,
	bootstrap: string,
	starts: { answered: number; asked: number; count: number },
): Promise<void> {
	await client.topics.create("records", { partitions: 1 });
	const records = client.producer<Uint8Array>({ codec: "bytes" });
	const admin = kafkaClient(bootstrap, KAFKA_RETRIES).admin();
	await admin.connect();
	// Without that it does not know where the topic is.
	await admin.fetchTopicOffsets("records");
	for (;;) {
		const sends = Array.from({ length: 10 }, () =>
			records.send({ topic: "records", value: Buffer.alloc(100) }),
		);
		const offsets = (await Promise.all(sends)).map(({ offset }) => offset);
		starts.asked = Math.max(...offsets) - 2;
		const partitions = [{ partition: 0, offset: `${starts.asked}` }];
		await admin.deleteTopicRecords({ topic: "records", partitions });
		starts.answered = starts.asked;
		starts.count += 1;
	}
}

/** The broker goes: everything that is asked of it then fails, one way or another. */
const untilItEnds = (work: Promise<void>, signal: AbortSignal): Promise<void> =>
	work.catch((error: unknown) => {
		if (!signal.aborted) throw error;
	});

async function stateOf(client: Client, name: string): Promise<State> {
	try {
		const { partitions, configs } = await client.topics.describe(name);
		const retention = configs.find((entry) => entry.name === "retention.ms");
		return { partitions, retentionMs: Number(retention?.value) };
	} catch (error) {
		if ((error as MillraceError).code === "UNKNOWN_TOPIC_OR_PARTITION") return null;
		throw error;
	}
}

test("a power cut in the middle of changes", async (context) => {
	const missing = missingMounts();
	if (missing !== null) context.skip(missing);
	const python = pythonBinary() ?? context.skip(missingPython());
	const before = mountNewImage(IMAGE_BYTES);
	const broker = await BrokerProcess.start({ dataDir: join(before.directory, "data") });
	const [cut, ended] = [new AbortController(), new AbortController()];
	const client = await connect(broker.url, { signal: ended.signal });
	const topics = new Topics();
	const starts = { answered: 0, asked: 0, count: 0 };
	const working = Promise.all(
		[
			...Array.from({ length: WORKERS }, (_, worker) => administrate(client, topics, worker)),
			deleteRecords(client, broker.kafka as string, starts),
		].map((work) => untilItEnds(work, cut.signal)),
	);
	while (topics.answers < ANSWERS_MIN || starts.count < DELETIONS_MIN) {
		await Promise.race([sleep(10), working]);
	}

	cut.abort();
	await cutPower(broker, before, "ext4", python);
	ended.abort();
	const copy = copyOf(before);
	await broker.kill();
	await working;
	before.unmount();

	const dataDir = join(mountCopy(copy, "ext4").directory, "data");
	const again = await BrokerProcess.start({ dataDir });
	const reader = await connect(again.url);
	for (const [name, { answered, asked }] of topics.known) {
		const state = await stateOf(reader, name);
		const possible = asked === undefined ? [answered] : [answered, asked];
		expect(possible, name).toContainEqual(state);
	}
	const [start] = await reader.offsets.describe("records");
	expect(start?.log_start).toBeGreaterThanOrEqual(starts.answered);
	expect(start?.log_start).toBeLessThanOrEqual(starts.asked);
	await reader.close();
	expect(await again.stop()).toMatchObject({ code: 0 });
	expect(await runCommand(["verify", "--data-dir", dataDir])).toMatchObject({ code: 0 });
	process.stdout.write(`${topics.answers} changes, ${starts.count} deletions of records\n`);
});
