/** `millrace consume TOPIC`: records on stdout, one a line. */
import { Argument, Command, Option } from "commander";

import type { Client, Consumer, ConsumerOptions, Gap } from "../client/index.ts";
import { MillraceError } from "../errors.ts";
import { LIMITS } from "../limits.ts";
import { withClient } from "./broker-connection.ts";
import { jsonOption, parseTime, urlOption, wholeNumber } from "./options.ts";
import { Progress } from "./progress.ts";
import { formatRecord, RECORD_FORMATS, type RecordFormat } from "./record-format.ts";
import { StandardOutput } from "./standard-output.ts";

interface ConsumeOptions {
	readonly url: string;
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
	return new Command("consume")
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
		.option("--group <group>", "consume as a member of a group (not in this version)")
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
		.addOption(urlOption())
		.addOption(jsonOption().implies({ format: "json" }))
		.action((topic: string, options: ConsumeOptions) => {
			if (options.group !== undefined) throw notInGroups();
			return withClient(options.url, (client) => consume(client, topic, options));
		});
}

function notInGroups(): MillraceError {
	return new MillraceError(
		"UNSUPPORTED_OPERATION",
		"in this version groups are joined over the Kafka protocol only; " +
			"consume from where you want with --from-beginning, --offset or --from-time",
	);
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
	const { partition } = options;
	const consumer = client.consumer<Uint8Array>({
		topics: partition === undefined ? topic : { topic, partitions: [partition] },
		from: startOf(options),
		codec: "bytes",
		onGap: (gap) => gaps.push(gap),
		...(options.exitAtEnd === true ? { until: "end" } : {}),
	});
	const output = new StandardOutput();
	const progress = new Progress("received", { besideOutput: true });
	try {
		await writeRecords(consumer, output, progress, options);
	} finally {
		await output.end();
		progress.end();
		await consumer.close();
	}
	if (gaps.length > 0) throw missingRecords(gaps);
}

async function writeRecords(
	consumer: Consumer<Uint8Array>,
	output: StandardOutput,
	progress: Progress,
	{ max = Number.POSITIVE_INFINITY, format }: ConsumeOptions,
): Promise<void> {
	if (max === 0) return;
	for await (const batch of consumer.batches()) {
		for (const record of batch) {
			const line = formatRecord(record, format);
			const settling = output.writeLine(line);
			if (settling !== undefined) await settling;
			progress.records += 1;
			progress.bytes += line.length;
			if (progress.records === max) return;
		}
		if (output.closed) return;
	}
}

/** What is said at the end when ranges of records could not be had. */
function missingRecords(gaps: readonly Gap[]): MillraceError {
	const ranges = gaps.map((gap) => `${gap.topic}-${gap.partition} ${gap.from} to ${gap.to - 1}`);
	return new MillraceError("DATA_DAMAGED", `records were skipped: ${ranges.join(", ")}`, {
		cause: gaps[0]?.error,
	});
}
