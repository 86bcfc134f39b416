/** A data directory whose flush journal holds records that are not synced in their segments. */
import { existsSync } from "node:fs";
import { join } from "node:path";

import { connect } from "../src/client/index.ts";
import { BrokerProcess } from "./broker-process.ts";

/** Flags of a broker that uses one. */
export const JOURNALING = ["--log-flush-journal-enable", "true"];

const TOPIC = "hot";
/** Enough for many of them to wait for a flush at a time. */
const PARTITIONS = 400;
const ROUNDS_MAX = 400;
/** Rounds once there is a journal. */
const ROUNDS_BEHIND = 5;

type Client = Awaited<ReturnType<typeof connect>>;

/** Writes a record to every partition; resolves when all are flushed. */
async function sendToAll(client: Client, round: number): Promise<void> {
	const producer = client.producer();
	const records = Array.from({ length: PARTITIONS }, (_, partition) => ({
		partition,
		value: `${round} ${partition}`,
	}));
	await producer.sendBatch(TOPIC, records);
}

/** Where each partition ends. */
export async function endsOf(broker: BrokerProcess): Promise<number[]> {
	const client = await connect(broker.url);
	const partitions = await client.offsets.describe(TOPIC);
	await client.close();
	return partitions.map(({ high_watermark: end }) => end);
}

/** Has a broker write until it has a journal, and ends it by `kill -9`. Answers what it acked. */
export async function leaveJournal(dataDir: string): Promise<number[]> {
	const broker = await BrokerProcess.start({ dataDir, flags: JOURNALING });
	const client = await connect(broker.url);
	await client.topics.create(TOPIC, { partitions: PARTITIONS });
	const isThere = () => existsSync(join(dataDir, "journal", "1"));
	let round = 0;
	for (let left = ROUNDS_BEHIND; left > 0; round++) {
		if (round > ROUNDS_MAX) throw new Error("no journal was made");
		await sendToAll(client, round);
		if (isThere()) left--;
	}
	// At once: what is in the journal is brought to the segments in the background.
	await broker.kill();
	await client.close();
	return new Array(PARTITIONS).fill(round);
}
