/** `millrace consume TOPIC`: records on stdout, one a line. */
import { Argument, Command, Option } from "commander";

import type {
	Client,
	ConsumedRecord,
	Consumer,
	ConsumerOptions,
	Gap,
	GroupConsumerOptions,
} from "../../client/index.ts";
import { LIMITS } from "../../limits.ts";
import { addBrokerOptions, type BrokerOptions, withClient } from "../broker-connection.ts";
import { jsonOption, parseTime, wholeNumber } from "../options.ts";
import { Progress } from "../progress.ts";
import { WrittenOffsets } from "./consume-group.ts";
import { missingRecords } from "./missing-records.ts";
import { formatRecord, RECORD_FORMATS, type RecordFormat } from "./record-format.ts";
import { StandardOutput } from "./standard-output.ts";

interface ConsumeOptions extends BrokerOptions {
	readonly json?: boolean;
	readonly partition?: number;
	readonly fromBeginning?: boolean;
	readonly offset?: number;
	readonly fromTime?: number;
	readonly group?: string;
	readonly exitAtEnd?: boolean;
	readonly max?: number;
	readonly format: RecordFormat;
}

export function consumeCommand(): Command {
	const anyCount = wholeNumber(0, Number.MAX_SAFE_INTEGER);
	return addBrokerOptions(new Command("consume"))
		.description(
			"write records to stdout, each with a newline; new ones only, unless told otherwise",
		)
		.addArgument(new Argument("<topic>", "where from"))
		.option(
			"--partition <n>",
			"only this partition (default: all, each in order)",
			wholeNumber(0, LIMITS.topicPartitionsMax - 1),
		)
		.addOption(
			new Option("--from-beginning", "start at the oldest record").conflicts([
				"offset",
				"fromTime",
			]),
		)
		.addOption(
			new Option("--offset <n>", "start at this offset, in every partition consumed")
				.argParser(anyCount)
				.conflicts(["fromBeginning", "fromTime"]),
		)
		.addOption(
			new Option(
				"--from-time <time>",
				"start at the first record of this time or later: milliseconds since 1970, or ISO 8601",
			)
				.argParser(parseTime)
				.conflicts(["fromBeginning", "offset"]),
		)
		.addOption(
			new Option(
				"--group <group>",
				"as a member of this group: shares the partitions with the others, goes on where the " +
					"group is, commits what was written; a start is for where nothing is committed",
			).conflicts(["partition", "offset"]),
		)
		.option("--exit-at-end", "end at what was the end of each partition at the start")
		.option("--max <n>", "end after so many records", anyCount)
		.addOption(
			new Option(
				"--format <format>",
				"value: its bytes; json: the whole record; msgpack: the value, decoded, as JSON",
			)
				.choices(RECORD_FORMATS)
				.default("value"),
		)
		.addOption(jsonOption().implies({ format: "json" }))
		.action((topic: string, options: ConsumeOptions) => {
			return withClient(options, (client) => consume(client, topic, options));
		});
}

/** Where to begin, by the options. */
function startOf(options: ConsumeOptions): NonNullable<ConsumerOptions<Uint8Array>["from"]> {
	if (options.fromBeginning === true) return "earliest";
	if (options.offset !== undefined) return { offset: options.offset };
	if (options.fromTime !== undefined) return { timestamp: options.fromTime };
	return "latest";
}

async function consume(client: Client, topic: string, options: ConsumeOptions): Promise<void> {
	const gaps: Gap[] = [];
	const { partition, group } = options;
	const output = new StandardOutput();
	const progress = new Progress("received", { besideOutput: true });
	const shared = {
		from: startOf(options),
		codec: "bytes" as const,
		onGap: (gap: Gap) => gaps.push(gap),
		...(options.exitAtEnd === true ? { until: "end" as const } : {}),
	};
	try {
		if (group !== undefined) {
			// A group waits for topics that are to come; here a name that is none is a mistake.
			await client.topics.describe(topic);
			const member = { ...shared, group, topics: topic };
			await consumeAsMember(client, member, output, progress, options);
		} else {
			const topics = partition === undefined ? topic : { topic, partitions: [partition] };
			const consumer = client.consumer<Uint8Array>({ ...shared, topics });
			await writeRecords(consumer, output, progress, options);
		}
	} finally {
		await output.end();
		progress.end();
	}
	if (gaps.length > 0) throw missingRecords(gaps);
}

/** Ends with SIGINT and SIGTERM, too, and then has committed what was written. */
async function consumeAsMember(
	client: Client,
	member: GroupConsumerOptions<Uint8Array>,
	output: StandardOutput,
	progress: Progress,
	options: ConsumeOptions,
): Promise<void> {
	const written = new WrittenOffsets(output);
	const consumer = client.consumer<Uint8Array>({
		...member,
		autoCommit: false,
		onRevoke: (partitions, { lost }) => written.revoked(partitions, lost),
	});
	written.of(consumer);
	const end: WritingEnd = { isDue: false, wrote: (record) => written.wrote(record) };
	let closing: Promise<void> | undefined;
	const stop = () => {
		end.isDue = true;
		closing ??= consumer.close();
		closing.catch(() => undefined); // told below
	};
	process.once("SIGINT", stop).once("SIGTERM", stop);
	try {
		await writeRecords(consumer, output, progress, options, end);
		await (closing ?? consumer.close());
	} finally {
		written.stop();
		process.off("SIGINT", stop).off("SIGTERM", stop);
	}
	written.check();
}

/** When to stop writing, and who wants to know what was written. */
interface WritingEnd {
	isDue: boolean;
	wrote(record: ConsumedRecord<Uint8Array>): void;
}

async function writeRecords(
	consumer: Consumer<Uint8Array>,
	output: StandardOutput,
	progress: Progress,
	{ max = Number.POSITIVE_INFINITY, format }: ConsumeOptions,
	end?: WritingEnd,
): Promise<void> {
	if (max === 0) return;
	for await (const batch of consumer.batches()) {
		for (const record of batch) {
			const line = formatRecord(record, format);
			const settling = output.writeLine(line);
			end?.wrote(record);
			if (settling !== undefined) await settling;
			progress.records += 1;
			progress.bytes += line.length;
			if (progress.records === max || end?.isDue === true) return;
		}
		if (output.closed) return;
	}
}
