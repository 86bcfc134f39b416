/**
 * The promise: groups never hold retention. Segments go by age and size whatever a group has not
 * read yet, whether it has members that read on, members that stand still or none at all, over
 * either protocol; a member that comes to what is gone is told, and goes on as it was asked to.
 */
import { setTimeout as sleep } from "node:timers/promises";
import kafkajs from "kafkajs";
import { expect, test } from "vitest";

import { type Client, connect, type Gap } from "../../src/client/index.ts";
import { BrokerProcess } from "../broker-process.ts";
import { KAFKAJS_SETTINGS } from "../kafkajs-settings.ts";

const RETENTION_MS = 600;
const GONE_MS_MAX = 180_000;
const RECORDS = 40;
const COMMITTED = 3;
const FLAGS = [
	...["--log-retention-check-interval-ms", "50"],
	...["--group-initial-rebalance-delay-ms", "0"],
];

test("segments go that groups have not read", async () => {
	const broker = await BrokerProcess.start({ flags: FLAGS });
	const client = await connect(broker.url);
	const configs = { "retention.ms": -1, "segment.ms": 150 };
	await client.topics.create("orders", { partitions: 1, configs });
	const producer = client.producer<number>();
	for (let number = 0; number < RECORDS; number++) {
		await producer.send({ topic: "orders", value: number });
	}

	// Without members, a committed offset each: of the SDK's making and of a Kafka admin client's.
	await client.groups.resetOffsets("idle", { offset: COMMITTED }, { topic: "orders" });
	await commitOverKafka(broker, "idle-kafka");
	// A member that has taken some records and stands still with them in its hands.
	const gaps: Gap[] = [];
	const standing = client.consumer<number>({
		group: "standing",
		topics: "orders",
		from: "earliest",
		bufferBytesMax: 1,
		onOutOfRange: "earliest",
		onGap: (gap) => gaps.push(gap),
	});
	const records = standing[Symbol.asyncIterator]();
	for (let number = 0; number < COMMITTED; number++) await records.next();
	await standing.commit();

	await client.topics.alter("orders", { "retention.ms": RETENTION_MS });
	await everythingGone(client);
	for (const group of ["idle", "idle-kafka", "standing"]) {
		const { partitions } = await client.groups.describe(group);
		expect(partitions, group).toMatchObject([
			{ topic: "orders", committed: COMMITTED, log_start: RECORDS, high_watermark: RECORDS },
		]);
	}

	// Each goes on behind what is gone, with what now stays.
	await client.topics.alter("orders", { "retention.ms": -1 });
	await producer.send({ topic: "orders", value: RECORDS });
	expect(await firstOverKafka(broker, "idle-kafka")).toBe(`${RECORDS}`);
	const idle = client.consumer<number>({
		group: "idle",
		topics: "orders",
		onOutOfRange: "earliest",
		onGap: (gap) => gaps.push(gap),
	});
	for await (const { offset, value } of idle) {
		expect([offset, value]).toEqual([RECORDS, RECORDS]);
		break;
	}
	expect(gaps.length).toBeGreaterThan(0);
	await client.close();
	expect(await broker.stop()).toMatchObject({ code: 0 });
});

/** Resolves when the log starts where it ends. */
async function everythingGone(client: Client): Promise<void> {
	for (const deadlineMs = Date.now() + GONE_MS_MAX; ; await sleep(20)) {
		const [ends] = await client.offsets.describe("orders");
		if (ends?.log_start === RECORDS) return;
		if (Date.now() > deadlineMs) throw new Error(`the log starts at ${ends?.log_start}`);
	}
}

const kafkaOf = ({ kafka }: BrokerProcess) =>
	new kafkajs.Kafka({ ...KAFKAJS_SETTINGS, brokers: [kafka as string] });

async function commitOverKafka(broker: BrokerProcess, groupId: string): Promise<void> {
	const admin = kafkaOf(broker).admin();
	await admin.connect();
	const partitions = [{ partition: 0, offset: `${COMMITTED}` }];
	await admin.setOffsets({ groupId, topic: "orders", partitions });
	await admin.disconnect();
}

/** The offset of the first record that a kafkajs member of the group is given. */
async function firstOverKafka(broker: BrokerProcess, groupId: string): Promise<string> {
	const consumer = kafkaOf(broker).consumer({ groupId, maxWaitTimeInMs: 100 });
	await consumer.connect();
	await consumer.subscribe({ topic: "orders", fromBeginning: true });
	const first = new Promise<string>((resolve) => {
		void consumer.run({ eachMessage: async ({ message }) => resolve(message.offset) });
	});
	const offset = await first;
	await consumer.disconnect();
	return offset;
}
