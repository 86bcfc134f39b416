/** `millrace produce TOPIC`: every line of stdin becomes a record. */
import { isUtf8 } from "node:buffer";
import { createReadStream, fstatSync } from "node:fs";
import type { Readable } from "node:stream";
import { Argument, Command, InvalidArgumentError, Option } from "commander";

import type { Client, Compression, Producer, RecordToSend } from "../../client/index.ts";
import { LIMITS } from "../../limits.ts";
import { addBrokerOptions, type BrokerOptions, withClient } from "../broker-connection.ts";
import { RecordsFailedError } from "../exit-code.ts";
import { jsonOption, wholeNumber } from "../options.ts";
import { Progress } from "../progress.ts";
import { parseExactJson } from "./json-values.ts";
import { LineSplitter } from "./line-splitter.ts";

const STDIN = 0;

/**
 * Records that wait for their acks, in bytes: enough to keep a disk busy, little enough that the
 * lines of which they consist are still young when the garbage collector meets them.
 */
const BUFFER_BYTES_MAX = 8_388_608;

/** A file is read in pieces of this many bytes. */
const READ_BYTES = 1_048_576;

interface ProduceOptions extends BrokerOptions {
	readonly json?: boolean;
	readonly partition?: number;
	readonly keySeparator?: Buffer;
	readonly msgpack?: boolean;
	readonly compression?: Compression;
}

export function produceCommand(): Command {
	return addBrokerOptions(new Command("produce"))
		.description("send every line of stdin as a record; ends when all are acknowledged")
		.addArgument(new Argument("<topic>", "where to"))
		.option(
			"--partition <n>",
			"send everything to this partition (default: by key, or in turns)",
			wholeNumber(0, LIMITS.topicPartitionsMax - 1),
		)
		.option(
			"--key-separator <text>",
			"a line is a key, this text, and a value; a line without it has no key",
			parseSeparator,
		)
		.option("--msgpack", "every value is a line of JSON, and is stored as MessagePack")
		.addOption(
			new Option("--compression <codec>", "how the broker compresses, unless the topic says")
				.choices(["none", "gzip", "snappy", "lz4", "zstd"] satisfies Compression[])
				.default("none"),
		)
		.addOption(jsonOption())
		.action((topic: string, options: ProduceOptions) =>
			withClient(options, (client) => produce(client, topic, options)),
		);
}

function parseSeparator(text: string): Buffer {
	if (text === "") throw new InvalidArgumentError("Expected at least one character.");
	return Buffer.from(text);
}

/** Sends stdin; resolves when every record is acknowledged, rejects with the first failure. */
async function produce(client: Client, topic: string, options: ProduceOptions): Promise<void> {
	const progress = new Progress("sent");
	const failures = new Failures();
	const producer = client.producer<unknown>({
		codec: options.msgpack === true ? "messagepack" : "bytes",
		bufferBytesMax: BUFFER_BYTES_MAX,
		compression: options.compression ?? "none",
		onError: (_, error) => failures.add(error),
	});
	try {
		await sendLines(standardInput(), producer, failures, progress, recordMaker(topic, options));
		await producer.flush();
		failures.check();
	} finally {
		progress.end();
		await producer.close();
	}
	if (options.json === true) {
		const { records, bytes } = progress;
		process.stdout.write(`${JSON.stringify({ topic, records, bytes })}\n`);
	}
}

/** Records that were given to the producer and did not make it. */
class Failures {
	#first: Error | undefined;
	#count = 0;

	add(error: Error): void {
		this.#first ??= error;
		this.#count += 1;
	}

	/** Throws a RecordsFailedError when there is one. */
	check(): void {
		if (this.#first !== undefined) throw new RecordsFailedError(this.#count, this.#first);
	}
}

type MakeRecord = (line: Uint8Array, lineNumber: number) => RecordToSend<unknown>;

async function sendLines(
	input: Readable,
	producer: Producer<unknown>,
	failures: Failures,
	progress: Progress,
	makeRecord: MakeRecord,
): Promise<void> {
	const lines = new LineSplitter(LIMITS.frameBytesMax);
	const send = (line: Uint8Array): Promise<void> | undefined => {
		progress.records += 1;
		progress.bytes += line.length;
		return producer.write(makeRecord(line, lines.lineCount)) ? undefined : producer.drained();
	};
	for await (const chunk of input) {
		lines.push(chunk as Uint8Array);
		for (let line = lines.next(); line !== null; line = lines.next()) {
			const draining = send(line);
			if (draining !== undefined) await draining;
		}
		failures.check();
	}
	const last = lines.end();
	if (last !== null) await send(last);
}

/** How a line becomes a record, by the options. */
function recordMaker(topic: string, options: ProduceOptions): MakeRecord {
	const { partition, keySeparator, msgpack } = options;
	const decode = msgpack === true ? jsonValue : (bytes: Uint8Array) => bytes;
	// Records of one shape, whatever the options: millions of them are made.
	const record = (line: Uint8Array, lineNumber: number) => ({
		topic,
		partition,
		key: undefined,
		value: decode(line, lineNumber),
	});
	if (keySeparator === undefined) return record;
	return (line, lineNumber) => {
		const at = Buffer.from(line.buffer, line.byteOffset, line.byteLength).indexOf(keySeparator);
		if (at === -1) return record(line, lineNumber);
		const value = decode(line.subarray(at + keySeparator.length), lineNumber);
		return { topic, partition, key: line.subarray(0, at), value };
	};
}

const text = new TextDecoder("utf-8", { ignoreBOM: true });

function jsonValue(bytes: Uint8Array, lineNumber: number): unknown {
	if (!isUtf8(bytes)) throw new Error(`line ${lineNumber}: it is not UTF-8, which JSON has to be`);
	try {
		return parseExactJson(text.decode(bytes));
	} catch (cause) {
		const reason = cause instanceof Error ? cause.message : String(cause);
		throw new Error(`line ${lineNumber}: ${reason}`, { cause });
	}
}

/**
 * Stdin in large pieces. A file is read by a thread; anything else goes through Node's own stream,
 * because a thread that waits for a silent pipe would keep the process from ending.
 */
function standardInput(): Readable {
	if (!fstatSync(STDIN).isFile()) return process.stdin;
	return createReadStream("", { fd: STDIN, autoClose: false, highWaterMark: READ_BYTES });
}
