/** Members of a group whose broker stops or dies: they are who they were when it is back. */
import { setTimeout as sleep } from "node:timers/promises";
import { expect, onTestFinished, test } from "vitest";

import { type Client, connect, type GroupConsumer } from "../../src/client/index.ts";
import { BrokerProcess, temporaryDirectory } from "../broker-process.ts";

const PARTITIONS = 4;

async function connected(url: string): Promise<Client> {
	const client = await connect(url, { reconnectMsFirst: 20, reconnectMsMax: 100 });
	onTestFinished(() => client.close());
	return client;
}

test.each(["SIGTERM", "SIGKILL"] as const)(
	"after %s members go on at once, with what they had, and nothing comes twice",
	async (signal) => {
		const dataDir = temporaryDirectory();
		let broker = await BrokerProcess.start({ dataDir });
		const { url, port } = broker;
		const admin = await connected(url);
		await admin.topics.create("records", { partitions: PARTITIONS });
		const producer = admin.producer<string>({ codec: "string" });
		let produced = 0;
		const produce = (count: number) =>
			producer.sendBatch(
				"records",
				Array.from({ length: count }, () => ({
					value: `${produced}`,
					partition: produced++ % PARTITIONS,
				})),
			);
		const deliveries = new Map<string, number>();
		const told: string[] = [];
		const consume = async (consumer: GroupConsumer<string>) => {
			for await (const { value } of consumer) {
				deliveries.set(value as string, (deliveries.get(value as string) ?? 0) + 1);
			}
		};
		const consumers = await Promise.all(
			[0, 1].map(async (number) => {
				const client = await connected(url);
				return client.consumer<string>({
					group: "restarted",
					topics: "records",
					from: "earliest",
					codec: "string",
					// Nothing but positions in memory says what was read when the broker goes.
					autoCommitIntervalMs: 1_000_000,
					onAssign: (list) => void told.push(`${number} +${list.length}`),
					onRevoke: (list, { lost }) => void told.push(`${number} -${list.length} ${lost}`),
				});
			}),
		);
		const loops = consumers.map(consume);
		await expect.poll(() => consumers.map((each) => each.assignment().length)).toEqual([2, 2]);
		await produce(200);
		await expect.poll(() => deliveries.size).toBe(200);
		told.length = 0;
		broker.signal(signal);
		await broker.ended;
		await sleep(100);
		broker = await BrokerProcess.start({ dataDir, port });
		await produce(200);
		// The session timeout is 45 s: nobody waited for it.
		await expect.poll(() => deliveries.size).toBe(400);
		expect([...deliveries].filter(([, count]) => count !== 1)).toEqual([]);
		expect(told).toEqual([]);
		expect(consumers.map((each) => each.assignment().length)).toEqual([2, 2]);
		for (const consumer of consumers) await consumer.close();
		await Promise.all(loops);
		const { partitions } = await admin.groups.describe("restarted");
		expect(partitions.map(({ committed }) => committed)).toEqual(Array(PARTITIONS).fill(100));
	},
	40_000,
);
