/** Members of a group whose broker stops or dies: they are who they were when it is back. */
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, onTestFinished, test } from "vitest";

import { type Client, connect, type GroupConsumer } from "../../src/client/index.ts";
import { BrokerProcess, temporaryDirectory } from "../broker-process.ts";
import { MutingProxy } from "../muting-proxy.ts";

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
);

async function read(consumer: GroupConsumer): Promise<void> {
	for await (const _ of consumer) throw new Error("nothing was produced");
}

describe("a member that does not learn that it is one", () => {
	/** A group in which a client has become a member without being told. */
	async function untold(dataDir: string) {
		const broker = await BrokerProcess.start({ dataDir });
		const proxy = await MutingProxy.start(broker.port, onTestFinished);
		const admin = await connected(broker.url);
		await admin.topics.create("records", { partitions: PARTITIONS });
		const client = await connected(proxy.url);
		proxy.isMute = true;
		const consumer = client.consumer({ group: "untold", topics: "records" });
		const reading = read(consumer);
		const members = async () => {
			const [group] = (await admin.groups.list()).filter(({ group: name }) => name === "untold");
			return group === undefined ? [] : (await admin.groups.describe("untold")).members;
		};
		await expect.poll(async () => (await members()).length).toBe(1);
		return { broker, proxy, consumer, reading, members };
	}

	test.each(["SIGTERM", "SIGKILL"] as const)(
		"is that member when the broker is back after %s",
		async (signal) => {
			const dataDir = temporaryDirectory();
			const { broker, proxy, consumer, reading, members } = await untold(dataDir);
			const [before] = await members();
			broker.signal(signal);
			await broker.ended;
			proxy.isMute = false;
			await BrokerProcess.start({ dataDir, port: broker.port });
			// The session timeout is 45 s: nobody waits for it.
			await expect.poll(() => consumer.assignment().length).toBe(PARTITIONS);
			expect((await members()).map(({ member_id: id }) => id)).toEqual([before?.member_id]);
			await consumer.close();
			await reading;
			expect(await members()).toEqual([]);
		},
	);

	test("is one member when only its connection was lost", async () => {
		const { proxy, consumer, reading, members } = await untold(temporaryDirectory());
		proxy.isMute = false;
		proxy.cut();
		await expect.poll(() => consumer.assignment().length).toBe(PARTITIONS);
		expect(await members()).toHaveLength(1);
		await consumer.close();
		await reading;
		expect(await members()).toEqual([]);
	});
});
