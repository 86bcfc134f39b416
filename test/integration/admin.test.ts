/**
 * What administrators do, by every client that can: topics, partitions, configuration, records,
 * groups and their offsets, and what the broker says of itself; with the errors that Kafka gives.
 */
import { expect, test } from "vitest";

import {
	type AdminAnswer,
	type AdminCommand,
	CLIENT_PROGRAMS,
	type ProduceLine,
	runProgram,
} from "./client-programs.ts";
import { serveKafka, uniqueName } from "./kafka-target.ts";

const RECORDS = 20;

/** Kafka's numbers. */
const OFFSET_OUT_OF_RANGE = 1;
const UNKNOWN_TOPIC_OR_PARTITION = 3;
const INVALID_TOPIC_EXCEPTION = 17;
const TOPIC_ALREADY_EXISTS = 36;
const INVALID_PARTITIONS = 37;
const INVALID_CONFIG = 40;
const GROUP_ID_NOT_FOUND = 69;

const at = serveKafka();

/** What a command must be answered with, at least. */
type Step = readonly [AdminCommand, AdminAnswer];

const done = { error: 0 };

function topicSteps(name: string, onlyChecked: string): Step[] {
	const configs = { "retention.ms": "1000000", "cleanup.policy": "compact,delete" };
	return [
		[{ do: "createTopic", name, partitions: 3, configs }, done],
		[{ do: "createTopic", name, partitions: 3 }, { error: TOPIC_ALREADY_EXISTS }],
		[{ do: "createTopic", name: "not a name", partitions: 1 }, { error: INVALID_TOPIC_EXCEPTION }],
		[{ do: "createTopic", name: onlyChecked, partitions: 0 }, { error: INVALID_PARTITIONS }],
		[
			{ do: "createTopic", name: onlyChecked, partitions: 1, configs: { nonsense: "1" } },
			{ error: INVALID_CONFIG },
		],
		[{ do: "createTopic", name: onlyChecked, partitions: 1, validateOnly: true }, done],
		[{ do: "describeTopic", name: onlyChecked }, { error: UNKNOWN_TOPIC_OR_PARTITION }],
		[
			{ do: "createTopic", name, partitions: 1, validateOnly: true },
			{ error: TOPIC_ALREADY_EXISTS },
		],
		[{ do: "listTopics" }, { topics: expect.arrayContaining([name]) }],
		[{ do: "describeTopic", name }, { partitions: 3 }],
		[{ do: "createPartitions", name, count: 5 }, done],
		[{ do: "createPartitions", name, count: 4 }, { error: INVALID_PARTITIONS }],
		[{ do: "describeTopic", name }, { partitions: 5 }],
	];
}

function configSteps(name: string): Step[] {
	const configs = (values: Record<string, string>): AdminAnswer => ({
		configs: expect.objectContaining(values),
	});
	const retention = "retention.ms";
	return [
		[
			{ do: "describeConfigs", name },
			configs({
				[retention]: "1000000",
				"cleanup.policy": "compact,delete",
				"segment.bytes": "1073741824",
				"max.compaction.lag.ms": "9223372036854775807",
			}),
		],
		[{ do: "alterConfigs", name, set: { "segment.bytes": "2000000" }, remove: [retention] }, done],
		[{ do: "alterConfigs", name, set: { nonsense: "1" }, remove: [] }, { error: INVALID_CONFIG }],
		[
			{ do: "alterConfigs", name, set: { [retention]: "soon" }, remove: [] },
			{ error: INVALID_CONFIG },
		],
		[
			{ do: "describeConfigs", name },
			configs({
				[retention]: "604800000",
				"cleanup.policy": "compact,delete",
				"segment.bytes": "2000000",
			}),
		],
	];
}

/** Partition 0 of the topic has records, a second apart. */
function recordSteps(name: string, firstTimestampMs: number): Step[] {
	const listed = { do: "listOffsets", name, partition: 0 };
	const cut = { do: "deleteRecords", name, partition: 0 };
	return [
		[{ ...listed, at: "earliest" }, { offset: 0 }],
		[{ ...listed, at: "latest" }, { offset: RECORDS }],
		[{ ...listed, at: firstTimestampMs + 4_500 }, { offset: 5 }],
		[{ ...cut, offset: 7 }, done],
		[{ ...listed, at: "earliest" }, { offset: 7 }],
		[{ ...cut, offset: RECORDS + 1 }, { error: OFFSET_OUT_OF_RANGE }],
	];
}

function groupSteps(name: string, group: string): Step[] {
	return [
		[{ do: "commitOffsets", group, name, offsets: { 0: 9, 1: 0 } }, done],
		[
			{ do: "committedOffsets", group },
			{ offsets: expect.objectContaining({ [`${name}:0`]: 9, [`${name}:1`]: 0 }) },
		],
		[{ do: "listGroups" }, { groups: expect.arrayContaining([group]) }],
		[
			{ do: "describeGroup", group },
			{ state: "EMPTY", members: 0 },
		],
		[{ do: "deleteGroup", group }, done],
		[{ do: "deleteGroup", group }, { error: GROUP_ID_NOT_FOUND }],
	];
}

function endSteps(name: string): Step[] {
	return [
		[{ do: "describeCluster" }, { brokers: 1 }],
		[{ do: "describeLogDirs", name }, { topics: [name] }],
		[{ do: "deleteTopic", name }, done],
		[{ do: "deleteTopic", name }, { error: UNKNOWN_TOPIC_OR_PARTITION }],
	];
}

test.concurrent.for(CLIENT_PROGRAMS)("$name", async (client, context) => {
	const commandLine = client.commandLine() ?? context.skip(client.missing);
	const { bootstrap } = at();
	const topic = uniqueName("topic");
	const run = async (steps: readonly Step[]) => {
		const commands = steps.map(([command]) => command);
		const answers = await runProgram<AdminAnswer>(commandLine, "admin", { bootstrap }, commands);
		expect(answers.length).toBe(steps.length);
		for (const [index, [command, expected]] of steps.entries()) {
			const lacks = client.lacks.includes(command.do);
			expect(answers[index], JSON.stringify(command)).toMatchObject(
				lacks ? { unsupported: true } : expected,
			);
		}
	};
	await run([...topicSteps(topic, uniqueName("checked")), ...configSteps(topic)]);

	const firstTimestampMs = Date.now() - 100_000;
	const lines = Array.from({ length: RECORDS }, (_, index): ProduceLine => {
		const timestamp = firstTimestampMs + 1_000 * index;
		const key = Buffer.from(`${index}`).toString("base64");
		return { codec: "none", partition: 0, key, value: key, timestamp, headers: [] };
	});
	await runProgram(commandLine, "produce", { bootstrap, topic }, lines);
	await run([
		...recordSteps(topic, firstTimestampMs),
		...groupSteps(topic, uniqueName("group")),
		...endSteps(topic),
	]);
});
