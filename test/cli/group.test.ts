/** `millrace group ...`, and the calls behind it, about a group that commits over Kafka. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { connect } from "../../src/client/index.ts";
import { type Broker, startBroker } from "../../src/index.ts";
import { runCommand } from "../broker-process.ts";
import { RawKafkaClient } from "../kafka/raw-client.ts";
import { kafkaPortOf } from "../kafka/use-broker.ts";

const GROUP = "billing";

let broker: Broker;
let kafka: RawKafkaClient;

beforeAll(async () => {
	broker = await startBroker({ memory: true });
	kafka = await RawKafkaClient.connect(kafkaPortOf(broker));
	const client = await connect(broker.addresses.websocket);
	await client.topics.create("orders", { partitions: 2 });
	const producer = client.producer<number>();
	for (let value = 0; value < 10; value++) {
		await producer.send({ topic: "orders", partition: 0, value });
	}
	await client.close();
});
afterAll(async () => {
	await kafka.close();
	await broker.close();
});

async function commit(committedOffset: number): Promise<void> {
	const partition = { partitionIndex: 0, committedOffset, committedMetadata: "" };
	await kafka.request("OffsetCommit", 5, {
		groupId: GROUP,
		generationIdOrMemberEpoch: -1,
		memberId: "",
		topics: [{ name: "orders", partitions: [partition] }],
	});
}

/** Runs `millrace group` and resolves to what it says, as JSON where it is asked for. */
async function group(...args: string[]) {
	const ending = await runCommand(["group", ...args, "--url", broker.addresses.websocket]);
	return { ...ending, text: ending.stdout.toString() };
}

describe("a group without members", () => {
	test("is listed, and described with its lag in records and in time", async () => {
		await commit(7);
		const { text } = await group("list");
		expect(text).toMatch(/^billing +classic +Empty$/m);
		const described = await group("describe", GROUP, "--json");
		expect(described.code).toBe(0);
		const { partitions } = JSON.parse(described.text).group;
		expect(partitions).toMatchObject([
			{ topic: "orders", partition: 0, committed: 7, high_watermark: 10, lag: 3 },
		]);
		expect(partitions[0].lag_ms).toBeGreaterThan(0);
		expect((await group("describe", GROUP)).text).toMatch(/orders +0 +7 +10 +3 +\d+\.\d +-/);
	});

	test("has its offsets moved, and a dry run moves nothing", async () => {
		await commit(7);
		const dry = await group("reset-offsets", GROUP, "--to-earliest", "--dry-run", "--json");
		expect(JSON.parse(dry.text)).toEqual({
			moves: [{ topic: "orders", partition: 0, from: 7, to: 0 }],
			dry_run: true,
		});
		const moves = async (...args: string[]) => {
			const { text } = await group("reset-offsets", GROUP, ...args, "--json");
			return JSON.parse(text).moves.map((move: { from: number; to: number }) => [
				move.from,
				move.to,
			]);
		};
		expect(await moves("--by", "-2")).toEqual([[7, 5]]);
		expect(await moves("--to-offset", "99")).toEqual([[5, 10]]);
		expect(await moves("--to-time", "0")).toEqual([[10, 0]]);
		expect(await moves("--to-latest", "--topic", "orders")).toEqual([
			[0, 10],
			[null, 0],
		]);
	});

	test("is deleted with its offsets", async () => {
		await commit(7);
		expect((await group("delete", GROUP)).code).toBe(0);
		const gone = await group("describe", GROUP);
		expect(gone.code).toBe(1);
		expect(gone.stderr).toContain("there is no such group");
	});
});

test("a group with members is neither moved nor deleted", async () => {
	const join = {
		groupId: "busy",
		// It says nothing any more, and is to be there while commands run one after the other.
		sessionTimeoutMs: 1_800_000,
		rebalanceTimeoutMs: 1_800_000,
		memberId: "",
		protocolType: "consumer",
		protocols: [{ name: "range", metadata: Buffer.alloc(0) }],
	};
	expect(await kafka.request("JoinGroup", 3, join)).toMatchObject({ errorCode: 0 });
	const moved = await group("reset-offsets", "busy", "--topic", "orders", "--to-latest");
	expect(moved.code).toBe(1);
	expect(moved.stderr).toContain("stop its members first");
	const deleted = await group("delete", "busy");
	expect(deleted.code).toBe(1);
	expect(deleted.stderr).toContain("the group still has members");
});

test("what makes no sense is a usage error", async () => {
	expect((await group("reset-offsets", GROUP)).code).toBe(2);
	expect((await group("reset-offsets", GROUP, "--to-latest", "--to-earliest")).code).toBe(2);
	expect((await group("reset-offsets", GROUP, "--to-latest", "--partition", "0")).code).toBe(2);
});
