/** `millrace topic create|list|describe|alter|delete`. */
import { Argument, Command } from "commander";

import type { TopicDescription } from "../client/index.ts";
import { LIMITS } from "../limits.ts";
import { addBrokerOptions, type BrokerOptions, withClient } from "./broker-connection.ts";
import { confirm } from "./confirm.ts";
import { UsageError } from "./exit-code.ts";
import { configOption, jsonOption, wholeNumber } from "./options.ts";
import { print } from "./print.ts";
import { formatTable } from "./table.ts";

const nameArgument = () => new Argument("<name>", "the topic");
const partitionCount = wholeNumber(1, LIMITS.topicPartitionsMax);

interface ClientOptions extends BrokerOptions {
	readonly json?: boolean;
}

export function topicCommand(): Command {
	const topic = new Command("topic").description("create, list, describe, alter and delete topics");
	for (const make of [createCommand, listCommand, describeCommand, alterCommand, deleteCommand]) {
		topic.addCommand(addBrokerOptions(make()).addOption(jsonOption()));
	}
	return topic;
}

interface CreateOptions extends ClientOptions {
	readonly partitions?: number;
	readonly config?: ReadonlyMap<string, string>;
	readonly ifNotExists?: boolean;
}

function createCommand(): Command {
	return new Command("create")
		.description("create a topic")
		.addArgument(nameArgument())
		.option(
			"--partitions <n>",
			"number of partitions (default: the broker's num.partitions)",
			partitionCount,
		)
		.addOption(configOption())
		.option("--if-not-exists", "be content with a topic that exists already")
		.action((name: string, options: CreateOptions) =>
			withClient(options, async (client) => {
				const { created, topic } = await client.topics.create(name, {
					configs: Object.fromEntries(options.config ?? []),
					ifNotExists: options.ifNotExists === true,
					...(options.partitions === undefined ? {} : { partitions: options.partitions }),
				});
				warnOfPending(topic, options.config);
				if (options.json === true) return print(JSON.stringify({ created, topic }));
				if (!created) return print(`${name} exists already`);
				print(`created ${name} with ${countPartitions(topic?.partitions ?? 0)}`);
			}),
		);
}

function listCommand(): Command {
	return new Command("list").description("list the topics").action((options: ClientOptions) =>
		withClient(options, async (client) => {
			const topics = await client.topics.list();
			if (options.json === true) return print(JSON.stringify({ topics }));
			for (const { name } of topics) print(name);
		}),
	);
}

function describeCommand(): Command {
	return new Command("describe")
		.description("show a topic's id, partitions, offsets and configuration")
		.addArgument(nameArgument())
		.action((name: string, options: ClientOptions) =>
			withClient(options, async (client) => {
				const topic = await client.topics.describe(name);
				const partitions = await client.offsets.describe(name);
				if (options.json === true) {
					return print(JSON.stringify({ topic, partitions }));
				}
				const offsets = partitions.map((row) =>
					[row.partition, row.log_start, row.high_watermark, row.log_end, row.flushed].map(String),
				);
				print(describeTopic(topic));
				print("");
				print(formatTable(["partition", "start", "high watermark", "end", "flushed"], offsets));
			}),
		);
}

interface AlterOptions extends ClientOptions {
	readonly partitions?: number;
	readonly config?: ReadonlyMap<string, string>;
	readonly deleteConfig?: readonly string[];
}

function alterCommand(): Command {
	return new Command("alter")
		.description("change a topic's configuration, or add partitions")
		.addArgument(nameArgument())
		.option("--partitions <n>", "the new number of partitions", partitionCount)
		.addOption(configOption())
		.option(
			"--delete-config <name>",
			"go back to the default of this configuration; repeat for more",
			(name: string, before: readonly string[] = []) => [...before, name],
		)
		.action((name: string, options: AlterOptions) => {
			const configs: Record<string, string | null> = Object.fromEntries(options.config ?? []);
			for (const unset of options.deleteConfig ?? []) configs[unset] = null;
			const changesConfig = Object.keys(configs).length > 0;
			if (!changesConfig && options.partitions === undefined) {
				throw new UsageError("nothing to alter: give --config, --delete-config or --partitions");
			}
			return withClient(options, async (client) => {
				let topic: TopicDescription | undefined;
				if (changesConfig) topic = await client.topics.alter(name, configs);
				warnOfPending(topic, options.config);
				if (options.partitions !== undefined) {
					topic = await client.topics.addPartitions(name, options.partitions);
				}
				print(options.json === true ? JSON.stringify({ topic }) : `altered ${name}`);
			});
		});
}

function deleteCommand(): Command {
	return new Command("delete")
		.description("delete a topic and all its records")
		.addArgument(nameArgument())
		.option("--yes", "do not ask")
		.action(async (name: string, options: ClientOptions & { yes?: boolean }) => {
			if (options.yes !== true && !(await confirm(`Delete ${name} and all its records?`))) {
				throw new UsageError(`${name} was not deleted: confirm with --yes`);
			}
			await withClient(options, async (client) => {
				const { topicId } = await client.topics.delete(name);
				print(
					options.json === true ? JSON.stringify({ name, topic_id: topicId }) : `deleted ${name}`,
				);
			});
		});
}

/**
 * Tells people of settings that they have just made and that this version stores without acting on
 * them.
 */
function warnOfPending(
	topic: TopicDescription | null | undefined,
	settings: ReadonlyMap<string, string> | undefined,
): void {
	for (const { name, pending } of topic?.configs ?? []) {
		if (pending === null || settings?.has(name) !== true) continue;
		process.stderr.write(`millrace: ${name} is stored, but ${pending}\n`);
	}
}

function countPartitions(count: number): string {
	return count === 1 ? "1 partition" : `${count} partitions`;
}

/** The head of `describe`, for people: what the topic sets itself is marked. */
function describeTopic(topic: TopicDescription): string {
	const settings = topic.configs.map(({ name, value, source }) => [name, value ?? "", source]);
	const { name, topic_id: topicId, partitions, durability } = topic;
	return [
		`${name}  ${topicId}  ${countPartitions(partitions)}, acked when ${durability}`,
		"",
		formatTable(["configuration", "value", "source"], settings),
	].join("\n");
}
