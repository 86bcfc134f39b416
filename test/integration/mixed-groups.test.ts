/**
 * One group of members over WebSocket and of Kafka consumers of the new protocol (KIP-848): they
 * share a topic while it grows and shrinks, and each goes on where the other has committed.
 */
import { describe, expect, test } from "vitest";

import { type Client, connect, type GroupConsumer } from "../../src/client/index.ts";
import { kafkaJava, MISSING_KAFKA_JAVA } from "../optional-parts.ts";
import {
	CONFLUENT,
	FRANZ,
	GroupMember,
	JAVA,
	KAFKAJS,
	type MemberEvent,
	runTool,
} from "./client-programs.ts";
import {
	createTopic,
	EXTERNAL_BOOTSTRAP,
	ONLY_MILLRACE,
	serveKafka,
	uniqueName,
} from "./kafka-target.ts";

const PARTITIONS = 6;
/** For what hangs: several clients start together, some in Java. */
const UNTIL_MS_MAX = 180_000;
/** What Kafka's tool waits for an answer; 5 s by default. */
const TOOL_MS_MAX = "60000";

/** Kafka's clients of the new protocol, and of the classic one, for whom the group changes over. */
const WAYS = (
	[
		[CONFLUENT, "consumer"],
		[JAVA, "consumer"],
		[CONFLUENT, "cooperative"],
		[FRANZ, "cooperative"],
		[KAFKAJS, "eager"],
	] as const
).map(([program, protocol]) => ({ program, name: program.name, protocol }));

const at = serveKafka();

/** How often each record was delivered, by its value, to whom. */
type Deliveries = Map<string, string[]>;

/** A member over WebSocket, and the loop that reads. */
class WebSocketMember {
	readonly consumer: GroupConsumer<string>;
	readonly #loop: Promise<void>;

	constructor(client: Client, name: string, topic: string, group: string, seen: Deliveries) {
		this.consumer = client.consumer<string>({
			group,
			topics: topic,
			from: "earliest",
			codec: "string",
			autoCommitIntervalMs: 50,
		});
		this.#loop = this.#run(name, seen);
	}

	get share(): number {
		return this.consumer.assignment().length;
	}

	/** Leaves while its loop waits: with nothing in hand. */
	async leave(): Promise<void> {
		await this.consumer.close();
		await this.#loop;
	}

	async #run(name: string, seen: Deliveries): Promise<void> {
		for await (const { value } of this.consumer) noteDelivery(seen, value as string, name);
	}
}

function noteDelivery(seen: Deliveries, value: string, name: string): void {
	seen.set(value, [...(seen.get(value) ?? []), name]);
}

async function produce(client: Client, topic: string, from: number, to: number): Promise<void> {
	const records = Array.from({ length: to - from }, (_, index) => ({
		value: `${from + index}`,
		partition: (from + index) % PARTITIONS,
	}));
	await client.producer<string>({ codec: "string" }).sendBatch(topic, records);
}

const notOnce = (seen: Deliveries) => [...seen].filter(([, names]) => names.length !== 1);

describe.concurrent("members over WebSocket and of a Kafka client share a topic", () => {
	test.for(WAYS)("$name, $protocol", async (way, context) => {
		if (EXTERNAL_BOOTSTRAP !== undefined) context.skip(ONLY_MILLRACE);
		const { program, protocol } = way;
		const commandLine = program.commandLine() ?? context.skip(program.missing);
		const { bootstrap, url } = at();
		const topic = await createTopic(at(), PARTITIONS);
		const group = uniqueName("mixed");
		const client = await connect(url as string);
		context.onTestFinished(() => client.close());
		const seen: Deliveries = new Map();
		const poll = (what: () => unknown) => context.expect.poll(what, { timeout: UNTIL_MS_MAX });
		const kafkaMember = (name: string) => {
			const settings = { bootstrap, topic, group, protocol };
			const options = { ...settings, handleMs: 2, sessionTimeoutMs: 60_000, heartbeatMs: 300 };
			const take = (event: MemberEvent) => {
				if (event.event !== "record") return;
				noteDelivery(seen, Buffer.from(event.value, "base64").toString(), name);
			};
			const member = new GroupMember(name, commandLine, { ...options, commitEvery: 10 }, take);
			context.onTestFinished(() => member.kill());
			return member;
		};

		// Up: one over WebSocket, then one of each, then two and one.
		const first = new WebSocketMember(client, "websocket 1", topic, group, seen);
		await produce(client, topic, 0, 300);
		await poll(() => seen.size).toBe(300);
		const kafka = kafkaMember("kafka");
		await poll(() => [first.share, kafka.partitions.length]).toEqual([3, 3]);
		await produce(client, topic, 300, 600);
		await poll(() => seen.size).toBe(600);
		const second = new WebSocketMember(client, "websocket 2", topic, group, seen);
		await poll(() => [first.share, second.share, kafka.partitions.length]).toEqual([2, 2, 2]);
		await produce(client, topic, 600, 900);
		await poll(() => seen.size).toBe(900);
		const { members } = await client.groups.describe(group);
		expect(members.map(({ assignment }) => assignment?.[0]?.partitions.length)).toEqual([2, 2, 2]);
		expect(new Set([...seen.values()].flat())).toEqual(
			new Set(["websocket 1", "websocket 2", "kafka"]),
		);

		// Down: one of WebSocket leaves, then Kafka's: each time others go on where it was.
		await second.leave();
		await poll(() => [first.share, kafka.partitions.length]).toEqual([3, 3]);
		await produce(client, topic, 900, 1_200);
		await poll(() => seen.size).toBe(1_200);
		await kafka.leave();
		await poll(() => first.share).toBe(PARTITIONS);
		await produce(client, topic, 1_200, 1_300);
		await poll(() => seen.size).toBe(1_300);
		await first.leave();

		// And over to Kafka alone, where WebSocket has committed.
		await produce(client, topic, 1_300, 1_400);
		const last = kafkaMember("last");
		await poll(() => seen.size).toBe(1_400);
		await last.leave();

		expect(notOnce(seen)).toEqual([]);
		const { partitions } = await client.groups.describe(group);
		expect(partitions.map(({ lag }) => lag)).toEqual(Array(PARTITIONS).fill(0));
	});
});

describe.concurrent("what is committed is seen from both sides", () => {
	test("by Kafka's consumer groups tool", async (context) => {
		if (EXTERNAL_BOOTSTRAP !== undefined) context.skip(ONLY_MILLRACE);
		const java = kafkaJava() ?? context.skip(MISSING_KAFKA_JAVA);
		const { bootstrap, url } = at();
		const topic = await createTopic(at(), 1);
		const group = uniqueName("seen");
		const client = await connect(url as string, { clientName: "billing/1" });
		context.onTestFinished(() => client.close());
		await client
			.producer<string>({ codec: "string" })
			.sendBatch(topic, [{ value: "a" }, { value: "b" }, { value: "c" }]);
		const describeGroup = (...parameters: string[]) =>
			runTool([
				...java,
				"org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
				...["--bootstrap-server", bootstrap, "--timeout", TOOL_MS_MAX],
				...["--describe", "--group", group, ...parameters],
			]);

		const consumer = client.consumer<string>({ group, topics: topic, from: "earliest" });
		const records = consumer[Symbol.asyncIterator]();
		await records.next();
		await records.next();
		await consumer.commit();
		// Group, topic, partition, committed, end, lag, member, host, client.
		const row = new RegExp(
			`${group}\\s+${topic}\\s+0\\s+2\\s+3\\s+1\\s+\\S+\\s+/127.0.0.1\\s+billing/1`,
		);
		expect(await describeGroup()).toMatch(row);
		expect(await describeGroup("--state")).toMatch(/\sStable\s+1/);
		await consumer.close();

		// Kafka's tool moves it, and the next member over WebSocket begins there.
		await runTool([
			...java,
			"org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
			...["--bootstrap-server", bootstrap, "--timeout", TOOL_MS_MAX],
			...["--reset-offsets", "--group", group],
			...["--topic", topic, "--to-offset", "1", "--execute"],
		]);
		const next = client.consumer<string>({ group, topics: topic, codec: "string", until: "end" });
		const values: unknown[] = [];
		for await (const { value } of next) values.push(value);
		expect(values).toEqual(["b", "c"]);
	});
});
