/** `millrace group list|describe|reset-offsets|delete`. */
import { Argument, Command, Option } from "commander";

import type { GroupDescription, OffsetMove, ResetPosition } from "../client/index.ts";
import { LIMITS } from "../limits.ts";
import { addBrokerOptions, type BrokerOptions, withClient } from "./broker-connection.ts";
import { UsageError } from "./exit-code.ts";
import { jsonOption, parseTime, signedNumber, wholeNumber } from "./options.ts";
import { print } from "./print.ts";
import { formatTable } from "./table.ts";

const groupArgument = () => new Argument("<group>", "the group");

interface ClientOptions extends BrokerOptions {
	readonly json?: boolean;
}

export function groupCommand(): Command {
	const group = new Command("group").description("list, describe, reset and delete groups");
	for (const make of [listCommand, describeCommand, resetCommand, deleteCommand]) {
		group.addCommand(addBrokerOptions(make()).addOption(jsonOption()));
	}
	return group;
}

function listCommand(): Command {
	return new Command("list").description("list the groups").action((options: ClientOptions) =>
		withClient(options, async (client) => {
			const groups = await client.groups.list();
			if (options.json === true) return print(JSON.stringify({ groups }));
			const rows = groups.map(({ group, type, state }) => [group, type, state]);
			print(formatTable(["group", "type", "state"], rows));
		}),
	);
}

function describeCommand(): Command {
	return new Command("describe")
		.description("show who reads what, how far the group has come, and how much is left")
		.addArgument(groupArgument())
		.action((name: string, options: ClientOptions) =>
			withClient(options, async (client) => {
				const group = await client.groups.describe(name);
				print(options.json === true ? JSON.stringify({ group }) : describeGroup(group));
			}),
		);
}

function describeGroup(group: GroupDescription): string {
	const { type, state, members, partitions } = group;
	const count = members.length === 1 ? "1 member" : `${members.length} members`;
	const rows = partitions.map((row) => [
		row.topic,
		String(row.partition),
		shown(row.committed),
		shown(row.high_watermark),
		shown(row.lag),
		row.lag_ms === null ? "-" : (row.lag_ms / 1_000).toFixed(1),
		row.member_id ?? "-",
	]);
	const heads = ["topic", "partition", "committed", "end", "lag", "lag (s)", "member"];
	const table = rows.length === 0 ? "nothing is committed" : formatTable(heads, rows);
	return `${group.group}  ${type}  ${state}, ${count}\n\n${table}`;
}

const shown = (number: number | null) => (number === null ? "-" : String(number));

interface ResetOptions extends ClientOptions {
	readonly topic?: string;
	readonly partition?: number;
	readonly toEarliest?: boolean;
	readonly toLatest?: boolean;
	readonly toOffset?: number;
	readonly toTime?: number;
	readonly by?: number;
	readonly dryRun?: boolean;
}

/** Exactly one of these says where to. */
const POSITIONS = ["toEarliest", "toLatest", "toOffset", "toTime", "by"] as const;

function resetCommand(): Command {
	const offset = wholeNumber(0, Number.MAX_SAFE_INTEGER);
	return new Command("reset-offsets")
		.description("move a group's committed offsets; the group must have no members")
		.addArgument(groupArgument())
		.option("--topic <name>", "only this topic (default: all that the group has committed)")
		.option(
			"--partition <n>",
			"only this partition of the topic",
			wholeNumber(0, LIMITS.topicPartitionsMax),
		)
		.addOption(new Option("--to-earliest", "to the first record"))
		.addOption(new Option("--to-latest", "to the end"))
		.addOption(new Option("--to-offset <n>", "to this offset").argParser(offset))
		.addOption(
			new Option(
				"--to-time <time>",
				"to the first record at or after a time (ISO 8601 or milliseconds since 1970)",
			).argParser(parseTime),
		)
		.addOption(new Option("--by <n>", "by so many records; negative: back").argParser(signedNumber))
		.option("--dry-run", "show what would be done, and do nothing")
		.action((name: string, options: ResetOptions) => {
			const position = positionOf(options);
			if (options.partition !== undefined && options.topic === undefined) {
				throw new UsageError("--partition needs --topic");
			}
			return withClient(options, async (client) => {
				const { topic, partition, dryRun = false } = options;
				const moves = await client.groups.resetOffsets(name, position, {
					dryRun,
					...(topic === undefined ? {} : { topic }),
					...(partition === undefined ? {} : { partition }),
				});
				if (options.json === true) return print(JSON.stringify({ moves, dry_run: dryRun }));
				print(describeMoves(moves));
				if (dryRun) print("\nnothing was changed: this was a dry run");
			});
		});
}

function positionOf(options: ResetOptions): ResetPosition {
	const given = POSITIONS.filter((name) => options[name] !== undefined);
	if (given.length !== 1) {
		throw new UsageError(
			"say where to with one of --to-earliest, --to-latest, --to-offset, --to-time, --by",
		);
	}
	if (options.toOffset !== undefined) return { offset: options.toOffset };
	if (options.toTime !== undefined) return { timestamp: options.toTime };
	if (options.by !== undefined) return { shift: options.by };
	return options.toEarliest === true ? "earliest" : "latest";
}

function describeMoves(moves: readonly OffsetMove[]): string {
	const rows = moves.map(({ topic, partition, from, to }) => [
		topic,
		String(partition),
		shown(from),
		String(to),
	]);
	return formatTable(["topic", "partition", "from", "to"], rows);
}

function deleteCommand(): Command {
	return new Command("delete")
		.description("delete a group without members, with its offsets")
		.addArgument(groupArgument())
		.addOption(new Option("--yes", "as for topics; nobody is asked about a group").hideHelp())
		.action((name: string, options: ClientOptions) =>
			withClient(options, async (client) => {
				await client.groups.delete(name);
				print(options.json === true ? JSON.stringify({ deleted: name }) : `deleted ${name}`);
			}),
		);
}
