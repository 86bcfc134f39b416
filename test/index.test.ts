import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";

import { connect } from "../src/client/index.ts";
import { type Broker, type StartBrokerOptions, startBroker } from "../src/index.ts";

let brokers: Broker[];
let directory: string;
beforeEach(() => {
	brokers = [];
	directory = mkdtempSync(join(tmpdir(), "millrace-index-"));
});
afterEach(async () => {
	for (const broker of brokers) await broker.close();
	rmSync(directory, { recursive: true });
});

async function start(options: StartBrokerOptions): Promise<Broker> {
	const broker = await startBroker(options);
	brokers.push(broker);
	return broker;
}

/** Sends one record to `topic` and reads the topic from its beginning. */
async function sendAndRead(broker: Broker, topic: string, value: unknown): Promise<unknown[]> {
	const client = await connect(broker.addresses.websocket);
	try {
		await client.producer().send({ topic, value });
		const values: unknown[] = [];
		const consumer = client.consumer({ topics: topic, from: "earliest", until: "end" });
		for await (const record of consumer) values.push(record.value);
		return values;
	} finally {
		await client.close();
	}
}

describe("a broker in this process", () => {
	test("in memory: the real protocol, several side by side, nothing on disk", async () => {
		const [first, second] = await Promise.all([
			start({ memory: true, dataDir: join(directory, "unused") }),
			start({ memory: true }),
		]);
		expect(first.addresses.websocket).not.toBe(second.addresses.websocket);
		expect(first.clusterId).not.toBe(second.clusterId);
		expect(await sendAndRead(first, "orders", { id: 1 })).toEqual([{ id: 1 }]);
		expect(await sendAndRead(second, "orders", { id: 2 })).toEqual([{ id: 2 }]);
		expect(readdirSync(directory)).toEqual([]);
	});

	test("on disk: what was acknowledged is there after a restart", async () => {
		const options = { dataDir: directory, websocket: "127.0.0.1:0" };
		const first = await start(options);
		await sendAndRead(first, "orders", "one");
		expect(readdirSync(directory)).toContain("addresses.json");
		await first.close();
		expect(readdirSync(directory)).not.toContain("addresses.json");
		const second = await start(options);
		expect(second.clusterId).toBe(first.clusterId);
		expect(await sendAndRead(second, "orders", "two")).toEqual(["one", "two"]);
	});

	test("a data directory belongs to one broker at a time", async () => {
		const options = { dataDir: directory, websocket: "127.0.0.1:0" };
		const broker = await start(options);
		await expect(startBroker(options)).rejects.toMatchObject({ code: "DATA_DIRECTORY_IN_USE" });
		// The refused one has touched nothing of the other's.
		expect(readdirSync(directory)).toContain("addresses.json");
		expect(await sendAndRead(broker, "orders", 1)).toEqual([1]);
	});

	test("an address that is taken frees the data directory again", async () => {
		const { addresses } = await start({ memory: true });
		const taken = addresses.websocket.slice("ws://".length);
		await expect(startBroker({ dataDir: directory, websocket: taken })).rejects.toThrow(taken);
		await start({ dataDir: directory, websocket: "127.0.0.1:0" });
	});

	test("automatic creation can be switched off", async () => {
		const broker = await start({ memory: true, autoCreateTopicsEnable: false });
		await expect(sendAndRead(broker, "orders", 1)).rejects.toMatchObject({
			code: "UNKNOWN_TOPIC_OR_PARTITION",
		});
	});

	test("num.partitions is what a topic gets by itself", async () => {
		const broker = await start({ memory: true, numPartitions: 7 });
		const client = await connect(broker.addresses.websocket);
		const { topic } = await client.topics.create("orders");
		await client.close();
		expect(topic?.partitions).toBe(7);
	});

	test("closing twice is closing once", async () => {
		const broker = await start({ memory: true });
		await Promise.all([broker.close(), broker.close()]);
	});

	test("an option that makes no sense is refused before anything is touched", async () => {
		const dataDir = join(directory, "data");
		await expect(startBroker({ dataDir, numPartitions: 0 })).rejects.toMatchObject({
			name: "ConfigError",
		});
		const options = { "num.partitons": "3" };
		await expect(startBroker({ dataDir, options })).rejects.toThrow(/num\.partitions/);
		expect(readdirSync(directory)).toEqual([]);
	});

	test("every option of the command can be given by its name", async () => {
		const broker = await start({ memory: true, options: { "num.partitions": "5" } });
		const client = await connect(broker.addresses.websocket);
		const { topic } = await client.topics.create("orders");
		await client.close();
		expect(topic?.partitions).toBe(5);
	});
});
