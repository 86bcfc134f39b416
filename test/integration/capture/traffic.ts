/**
 * Writes test/fixtures/kafka/traffic anew: what real clients send to a real Apache Kafka, and what
 * that answers. See the README there.
 */
import { writeFileSync } from "node:fs";
import { expect, test } from "vitest";

import { atEndOfSuite } from "../../broker-process.ts";

import { definitions } from "../../kafka/client-codec.ts";
import { kcatBinary } from "../../optional-parts.ts";
import { startApacheKafka } from "../apache-kafka.ts";
import {
	type AckLine,
	CLIENT_PROGRAMS,
	type ClientProgram,
	GroupMember,
	type ProduceLine,
	runProgram,
	runTool,
} from "../client-programs.ts";
import { KafkaProxy } from "../kafka-proxy.ts";
import { uniqueName } from "../kafka-target.ts";

/** Larger exchanges are left out. */
const FRAME_BYTES_MAX = 16_384;
const directory = new URL("../../fixtures/kafka/traffic/", import.meta.url);

interface Exchange {
	readonly request: Buffer;
	response: Buffer | null;
}

const kafka = await startApacheKafka(atEndOfSuite());

/** Runs something through a proxy and gives the exchanges that were seen. */
async function record(run: (bootstrap: string) => Promise<void>): Promise<Exchange[]> {
	const waiting = new Map<string, Exchange>();
	const exchanges: Exchange[] = [];
	const proxy = await KafkaProxy.start({
		broker: kafka as string,
		onFrame(direction, frame, connection) {
			const isRequest = direction === "request";
			const id = `${connection}:${frame.readInt32BE(isRequest ? 4 : 0)}`;
			if (isRequest) {
				const exchange = { request: Buffer.from(frame), response: null };
				waiting.set(id, exchange);
				exchanges.push(exchange);
				return;
			}
			const exchange = waiting.get(id);
			if (exchange !== undefined) exchange.response = Buffer.from(frame);
		},
	});
	await run(proxy.address);
	await proxy.close();
	return exchanges;
}

/** The largest exchange of each API and version that is not too large, one a line. */
function write(name: string, exchanges: readonly Exchange[]): void {
	const chosen = new Map<string, Exchange>();
	const size = ({ request, response }: Exchange) => request.length + (response?.length ?? 0);
	for (const exchange of exchanges) {
		const { request, response } = exchange;
		if (response === null || size(exchange) > FRAME_BYTES_MAX) continue;
		const id = `${request.readInt16BE(0)} ${request.readInt16BE(2)}`;
		const before = chosen.get(id);
		if (before === undefined || size(before) < size(exchange)) chosen.set(id, exchange);
	}
	const numbers = (id: string) => id.split(" ").map(Number) as [number, number];
	const lines = [...chosen]
		.sort(([left], [right]) => {
			const [[leftKey, leftVersion], [rightKey, rightVersion]] = [numbers(left), numbers(right)];
			return leftKey - rightKey || leftVersion - rightVersion;
		})
		.map(([id, { request, response }]) => {
			const [key, version] = numbers(id);
			const api = definitions.find(({ number, kind }) => kind === "api" && number === key)?.name;
			return JSON.stringify({
				api,
				version,
				request: request.toString("base64"),
				response: (response as Buffer).toString("base64"),
			});
		});
	writeFileSync(new URL(`${name}.jsonl`, directory), `${lines.join("\n")}\n`);
}

const base64 = (text: string): string => Buffer.from(text).toString("base64");

async function useProgram(client: ClientProgram, bootstrap: string): Promise<void> {
	const commandLine = client.commandLine();
	if (commandLine === null) throw new Error(client.missing);
	const admin = (...commands: object[]) =>
		runProgram(commandLine, "admin", { bootstrap }, commands);
	const topic = uniqueName("topic");
	const group = uniqueName("group");
	await admin(
		{ do: "createTopic", name: topic, partitions: 2, configs: { "retention.ms": "1000000" } },
		{ do: "describeTopic", name: topic },
		{ do: "createPartitions", name: topic, count: 3 },
		{ do: "alterConfigs", name: topic, set: { "segment.bytes": "2000000" }, remove: [] },
		{ do: "describeConfigs", name: topic },
	);
	const lines = client.codecs.map((codec, index): ProduceLine => {
		const headers = [["header", base64("value")]] as const;
		const value = base64(`${codec} ${index}`);
		return { codec, partition: index % 3, key: base64("key"), value, timestamp: null, headers };
	});
	const acks = await runProgram<AckLine>(commandLine, "produce", { bootstrap, topic }, lines);
	expect(acks.length).toBe(lines.length);
	await runProgram(commandLine, "produce", { bootstrap, topic, idempotent: true }, lines);
	for (const start of ["earliest", { offset: 0 }, { timestamp: 1 }]) {
		const more = { partitions: [0, 1, 2], start, count: lines.length, timeoutMs: 3_000 };
		await runProgram(commandLine, "consume", { bootstrap, topic, ...more });
	}
	for (const protocol of client.protocols) {
		const settings = { bootstrap, topic, group: `${group}-${protocol}`, protocol };
		const times = { sessionTimeoutMs: 10_000, heartbeatMs: 300, handleMs: 0, commitEvery: 1 };
		await new Promise<void>((resolve, reject) => {
			let committed = 0;
			const member = new GroupMember(
				client.name,
				commandLine,
				{ ...settings, ...times },
				({ event }) => {
					if (event === "committed") committed += 1;
					// A while later it has sent a heartbeat too.
					if (committed === 1) setTimeout(() => member.leave().then(resolve, reject), 1_000);
				},
			);
		});
	}
	await admin(
		{ do: "listTopics" },
		{ do: "listOffsets", name: topic, partition: 0, at: "earliest" },
		{ do: "listOffsets", name: topic, partition: 0, at: 1 },
		{ do: "deleteRecords", name: topic, partition: 0, offset: 1 },
		{ do: "commitOffsets", group, name: topic, offsets: { 0: 1 } },
		{ do: "committedOffsets", group },
		{ do: "listGroups" },
		{ do: "describeGroup", group },
		{ do: "deleteGroup", group },
		{ do: "describeCluster" },
		{ do: "describeLogDirs", name: topic },
		{ do: "deleteTopic", name: topic },
	);
}

test.for(CLIENT_PROGRAMS)("$name", async (client) => {
	expect(kafka).not.toBeNull();
	write(client.name, await record((bootstrap) => useProgram(client, bootstrap)));
});

test("kcat", async () => {
	expect(kcatBinary()).not.toBeNull();
	const topic = uniqueName("topic");
	const use = async (bootstrap: string) => {
		const kcat = (input: string, ...parameters: string[]) =>
			runTool(["kcat", "-q", "-b", bootstrap, ...parameters], input);
		await kcat("a\nb\n", "-P", "-t", topic, "-p", "0", "-z", "lz4", "-H", "name=value");
		await kcat("", "-C", "-e", "-t", topic, "-p", "0");
		await kcat("", "-Q", "-t", `${topic}:0:1`);
		await kcat("", "-G", topic, "-e", "-X", "auto.offset.reset=earliest", topic);
		await kcat("", "-L");
	};
	write("kcat", await record(use));
});
