/** `millrace consume --group`, as users run it. */
import { spawn } from "node:child_process";
import kafkajs from "kafkajs";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";

import { type Client, connect } from "../../../src/client/index.ts";
import { type Broker, startBroker } from "../../../src/index.ts";
import { COMMAND_FILE, runCommand } from "../../broker-process.ts";
import { KAFKAJS_SETTINGS } from "../../kafkajs-settings.ts";

let broker: Broker;
let client: Client;

beforeAll(async () => {
	broker = await startBroker({ memory: true });
	client = await connect(broker.addresses.websocket);
});

afterAll(async () => {
	await client.close();
	await broker.close();
});

async function topicOf(name: string, partitions: number, records: number): Promise<void> {
	await client.topics.create(name, { partitions });
	await append(name, partitions, records);
}

async function append(topic: string, partitions: number, records: number): Promise<void> {
	const batch = Array.from({ length: records }, (_, number) => ({
		value: `${number}`,
		partition: number % partitions,
	}));
	await client.producer<string>({ codec: "string" }).sendBatch(topic, batch);
}

/** Runs `millrace consume` as a member, and answers the lines that it wrote. */
async function consume(topic: string, ...args: string[]): Promise<string[]> {
	const command = ["consume", topic, "--group", `group of ${topic}`, ...args];
	const ending = await runCommand([...command, "--url", broker.addresses.websocket]);
	expect([ending.stderr, ending.code]).toEqual(["", 0]);
	return ending.stdout.toString().split("\n").slice(0, -1);
}

async function committed(topic: string): Promise<(number | null)[]> {
	const { partitions } = await client.groups.describe(`group of ${topic}`);
	return partitions.map(({ committed }) => committed);
}

const numbers = (from: number, to: number) =>
	Array.from({ length: to - from }, (_, index) => `${from + index}`);

const sorted = (lines: string[]) => [...lines].sort((left, right) => Number(left) - Number(right));

describe("consume --group", () => {
	test("goes on where the group is, and commits what it has written", async () => {
		await topicOf("lines", 3, 9);
		const lines = await consume("lines", "--from-beginning", "--exit-at-end");
		expect(sorted(lines)).toEqual(numbers(0, 9));
		expect(await committed("lines")).toEqual([3, 3, 3]);
		expect(await consume("lines", "--from-beginning", "--exit-at-end")).toEqual([]);
		await append("lines", 3, 3);
		expect(await consume("lines", "--exit-at-end")).toHaveLength(3);
	});

	test("--max commits exactly so many, and --json tells where each was", async () => {
		await topicOf("counted", 1, 10);
		const first = await consume("counted", "--from-beginning", "--max", "4", "--json");
		expect(first.map((line) => JSON.parse(line).offset)).toEqual([0, 1, 2, 3]);
		expect(await committed("counted")).toEqual([4]);
		expect(await consume("counted", "--exit-at-end")).toEqual(numbers(4, 10));
	});

	test("without a start, a new group begins with what is new", async () => {
		await topicOf("fresh", 1, 5);
		expect(await consume("fresh", "--exit-at-end")).toEqual([]);
	});

	test.each(["SIGINT", "SIGTERM"] as const)(
		"%s ends it well: committed, and out",
		async (signal) => {
			const topic = `signal-${signal}`;
			await topicOf(topic, 2, 50);
			const command = ["consume", topic, "--group", `group of ${topic}`, "--from-beginning"];
			const url = ["--url", broker.addresses.websocket];
			const child = spawn(process.execPath, [COMMAND_FILE, ...command, ...url]);
			onTestFinished(() => void child.kill("SIGKILL"));
			let text = "";
			child.stdout.on("data", (bytes: Buffer) => {
				text += bytes.toString();
			});
			await expect.poll(() => text.split("\n").length).toBe(51);
			child.kill(signal);
			expect(await new Promise((resolve) => child.once("exit", resolve))).toBe(0);
			expect(await committed(topic)).toEqual([25, 25]);
			const { state, members } = await client.groups.describe(`group of ${topic}`);
			expect([state, members]).toEqual(["Empty", []]);
		},
	);

	test("a reader that goes away is no reason to commit what it has not taken", async () => {
		await topicOf("piped", 1, 200_000);
		const command = [process.execPath, COMMAND_FILE, "consume", "piped", "--from-beginning"];
		const options = ["--group", "group of piped", "--url", broker.addresses.websocket];
		const quoted = [...command, ...options].map((each) => `"${each}"`).join(" ");
		const child = spawn("sh", ["-c", `${quoted} | head -n 10`]);
		let text = "";
		child.stdout.on("data", (bytes: Buffer) => {
			text += bytes.toString();
		});
		await new Promise((resolve) => child.once("exit", resolve));
		expect(text).toBe(
			numbers(0, 10)
				.map((line) => `${line}\n`)
				.join(""),
		);
		await expect
			.poll(async () => (await client.groups.describe("group of piped")).state)
			.toBe("Empty");
		expect((await committed("piped"))[0] ?? 0).toBeLessThan(200_000);
	});

	/** What only Kafka's clients can ask for. */
	async function administer(work: (admin: kafkajs.Admin) => Promise<unknown>): Promise<void> {
		const kafka = new kafkajs.Kafka({
			...KAFKAJS_SETTINGS,
			brokers: [broker.addresses.kafka as string],
		});
		const admin = kafka.admin();
		await admin.connect();
		await work(admin);
		await admin.disconnect();
	}

	test("records that went before the group came to them are no damage", async () => {
		await topicOf("overtaken", 1, 10);
		await client.groups.resetOffsets("group of overtaken", { offset: 2 }, { topic: "overtaken" });
		const partitions = [{ partition: 0, offset: "5" }];
		await administer(async (admin) => {
			// It would not look for the topic by itself.
			await admin.fetchTopicOffsets("overtaken");
			await admin.deleteTopicRecords({ topic: "overtaken", partitions });
		});
		const command = ["consume", "overtaken", "--group", "group of overtaken"];
		const options = ["--from-beginning", "--exit-at-end", "--url", broker.addresses.websocket];
		const ending = await runCommand([...command, ...options]);
		expect(ending.stdout.toString()).toBe("5\n6\n7\n8\n9\n");
		expect(ending.stderr).toContain("overtaken-0 2 to 4 [OFFSET_OUT_OF_RANGE]");
		expect(ending.code).toBe(1);
		expect(await committed("overtaken")).toEqual([10]);
	});

	test("where the group was beyond the end, nothing is missing", async () => {
		await topicOf("shorter", 1, 4);
		const partitions = [{ partition: 0, offset: "100" }];
		const groupId = "group of shorter";
		await administer((admin) => admin.setOffsets({ groupId, topic: "shorter", partitions }));
		const lines = await consume("shorter", "--from-beginning", "--exit-at-end");
		expect(lines).toEqual(numbers(0, 4));
		expect(await committed("shorter")).toEqual([4]);
	});

	test("two of them share", async () => {
		await topicOf("shared", 4, 0);
		// From the beginning: where the end is, a member may look only after the records have come.
		const args = ["--from-beginning", "--max", "100"];
		const both = [consume("shared", ...args), consume("shared", ...args)];
		await expect
			.poll(async () =>
				(await client.groups.describe("group of shared")).members
					.map(({ assignment }) => assignment?.[0]?.partitions.length)
					.join(),
			)
			.toBe("2,2");
		await append("shared", 4, 200);
		expect(sorted((await Promise.all(both)).flat())).toEqual(numbers(0, 200));
	});

	test("what the broker refuses ends it with the reason", async () => {
		const command = ["consume", "lines", "--group", "", "--exit-at-end"];
		const ending = await runCommand([...command, "--url", broker.addresses.websocket]);
		expect(ending.code).toBe(1);
		expect(ending.stderr).toContain("INVALID_GROUP_ID");
		const missing = ["consume", "no-such-topic", "--group", "g"];
		const without = await runCommand([...missing, "--url", broker.addresses.websocket]);
		expect(without.code).toBe(1);
		expect(without.stderr).toContain("UNKNOWN_TOPIC_OR_PARTITION");
	});
});
