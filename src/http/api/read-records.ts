/**
 * GET /v1/topics/{topic}/partitions/{partition}/records: what lies in a partition from an offset
 * on. The broker keeps nothing of who reads: the answer tells where to go on.
 *
 * An answer is small, so its records may be looked at here one by one, and in one go: it is sent
 * as soon as there are records, and none is held while others are waited for.
 */
import { checkTopic } from "../../calls/access.ts";
import { invalid } from "../../calls/arguments.ts";
import type { AnswerMap } from "../../calls/caller.ts";
import { MillraceError } from "../../errors.ts";
import { LIMITS } from "../../limits.ts";
import { CODES } from "../../protocol/codes.ts";
import { OPERATION } from "../../protocol/operations.ts";
import { FrameReader } from "../../protocol/reader.ts";
import type { FrameValue } from "../../protocol/writer.ts";
import type { ReadResult, TopicHandle } from "../../storage/storage.ts";
import { checkPartition } from "../../topics/live-topics.ts";
import type { HttpRequest } from "../http.ts";
import { type Encoding, encoderOf, type ValueEncoder } from "./encoding.ts";
import type { ApiCaller } from "./host.ts";
import type { Media } from "./media.ts";
import type { Parameters, ParameterValue } from "./parameters.ts";
import { ProblemError } from "./problem.ts";

const RECORDS_DEFAULT = 1_000;

export const READ_PARAMETERS: Parameters = {
	offset: {
		type: "string",
		description: "Where to begin: a number, `earliest` or `latest`. This or `timestamp_ms`.",
	},
	timestamp_ms: {
		type: "integer",
		description: "Begin at the first record at or after this time, in milliseconds since 1970.",
		least: 0,
	},
	encoding: {
		type: "string",
		description: "What keys, values and headers are in JSON; there is no default.",
		choices: ["text", "base64"],
	},
	max_records: {
		type: "integer",
		description: `Most records; default ${RECORDS_DEFAULT}.`,
		least: 1,
		most: LIMITS.httpRecordsMax,
	},
	max_bytes: {
		type: "integer",
		description: "Most bytes of records, but always one record. The default is the most.",
		least: 1,
		most: LIMITS.httpRecordsBytesMax,
	},
	wait_ms: {
		type: "integer",
		description: "How long to wait for the first record where there is none yet; default 0.",
		least: 0,
		most: LIMITS.httpWaitMsMax,
	},
};

/** A read that is under way. */
class Reading {
	readonly records: AnswerMap[] = [];
	readonly gaps: AnswerMap[] = [];
	position: number;
	recordsLeft: number;
	bytesLeft: number;

	constructor(position: number, recordsMax: number, bytesMax: number) {
		this.position = position;
		this.recordsLeft = recordsMax;
		this.bytesLeft = bytesMax;
	}

	get isFull(): boolean {
		return this.recordsLeft <= 0 || this.bytesLeft <= 0;
	}
}

const reader = new FrameReader();

export async function readRecords(
	caller: ApiCaller,
	given: Readonly<Record<string, ParameterValue>>,
	media: Media,
	{ aborted, stopping }: Pick<HttpRequest, "aborted" | "stopping">,
): Promise<AnswerMap> {
	const { topic: name, partition } = given as { topic: string; partition: number };
	checkTopic(caller, OPERATION.subscribe, name);
	const { storage, clock } = caller.host;
	const topic = caller.aliases.existing(name).current;
	checkPartition({ current: topic, isDeleted: false }, partition);
	const encode = encoderOf(media, given.encoding as Encoding | undefined);
	// Not more than the quota allows at once, which would have to be waited for.
	const bytesMax = Math.min(
		(given.max_bytes as number | undefined) ?? LIMITS.httpRecordsBytesMax,
		caller.quota?.amountMax("fetch") ?? Number.POSITIVE_INFINITY,
	);
	const reading = new Reading(
		await startOf(caller, topic.handle, partition, given),
		(given.max_records as number | undefined) ?? RECORDS_DEFAULT,
		bytesMax,
	);
	const deadlineMs = clock.monotonicMs() + ((given.wait_ms as number | undefined) ?? 0);
	const connection = storage.nextConnection();
	const ends = [aborted, stopping];
	while (!reading.isFull && !aborted.aborted) {
		const { handle } = topic;
		const { position, recordsLeft, bytesLeft } = reading;
		const result = storage.readRecords(
			handle,
			partition,
			position,
			0,
			recordsLeft,
			Math.min(bytesLeft, LIMITS.deliveryBytesMax),
			connection,
		);
		if (result.status === "data") {
			const bytes = result.data?.length ?? 0;
			caller.host.traffic.sent(handle, result.records, bytes);
			caller.quota?.charge("fetch", bytes);
			take(reading, result, encode);
		} else if (result.status === "at_end") {
			const leftMs = deadlineMs - clock.monotonicMs();
			if (reading.records.length > 0 || leftMs <= 0 || stopping.aborted) break;
			await recordsBehind(caller, handle, partition, reading.position, leftMs, ends);
		} else if (result.status === "loading") {
			if (reading.records.length > 0) break;
			await loaded(caller, result.token);
		} else if (result.status === "gap") passOver(reading, result);
		else throw failure(caller, topic, partition, result);
	}
	const { logStart, highWatermark } = storage.offsets(topic.handle, partition);
	return {
		topic: name,
		partition,
		records: reading.records,
		gaps: reading.gaps,
		next_offset: reading.position,
		log_start: logStart,
		high_watermark: highWatermark,
	};
}

async function startOf(
	{ host: { storage } }: ApiCaller,
	handle: TopicHandle,
	partition: number,
	{ offset, timestamp_ms: timestampMs }: Readonly<Record<string, ParameterValue>>,
): Promise<number> {
	if ((offset === undefined) === (timestampMs === undefined)) {
		return invalid("offset", "or timestamp_ms is needed, one of them");
	}
	const { logStart, highWatermark } = storage.offsets(handle, partition);
	if (timestampMs !== undefined) {
		const found = await storage.offsetForTimestamp(handle, partition, Number(timestampMs));
		return found?.offset ?? storage.offsets(handle, partition).highWatermark;
	}
	if (offset === "earliest") return logStart;
	if (offset === "latest") return highWatermark;
	const number = /^\d{1,16}$/.test(String(offset)) ? Number(offset) : Number.NaN;
	if (Number.isSafeInteger(number)) return number;
	return invalid("offset", "is neither a number, earliest nor latest");
}

/** Takes the records of a frame `[131, sub, base_offset, high_watermark, records]`. */
function take(
	reading: Reading,
	{ data, bytes, records, nextOffset }: ReadResult,
	encode: ValueEncoder,
) {
	if (data === null || nextOffset <= reading.position) {
		throw new MillraceError("UNKNOWN_SERVER_ERROR", "a read made no progress");
	}
	reader.reset(data).frameHeader();
	reader.integer();
	reader.integer();
	const baseOffset = reader.integer();
	reader.integer();
	for (let left = reader.arrayHeader(); left > 0; left--) {
		reading.records.push(recordOf(baseOffset, encode));
	}
	reading.position = nextOffset;
	reading.recordsLeft -= records;
	reading.bytesLeft -= bytes;
}

/** The record that the reader stands before: `[offset_delta, timestamp, key, value, headers?]`. */
function recordOf(baseOffset: number, encode: ValueEncoder): AnswerMap {
	const elements = reader.arrayHeader();
	const offset = baseOffset + reader.integer();
	const timestampMs = reader.integer();
	const key = encode(reader.binaryOrNil(), offset);
	const value = encode(reader.binaryOrNil(), offset);
	const record = { offset, timestamp_ms: timestampMs, key, value };
	if (elements < 5) return record;
	const headers: FrameValue[] = [];
	for (let left = reader.arrayHeader(); left > 0; left--) {
		reader.arrayHeader();
		headers.push([reader.string(), encode(reader.binaryOrNil(), offset)]);
	}
	return { ...record, headers };
}

function passOver(reading: Reading, { gapFrom, gapTo, code }: ReadResult): void {
	const { code: name } = MillraceError.fromNumber(code);
	reading.gaps.push({ from: gapFrom, to: gapTo, code, name });
	reading.position = gapTo;
}

function failure(
	{ host: { storage } }: ApiCaller,
	topic: { readonly name: string; readonly handle: TopicHandle },
	partition: number,
	{ status, code, gapFrom }: ReadResult,
): Error {
	const details = { topic: topic.name, partition };
	if (status !== "out_of_range") return MillraceError.fromNumber(code, "", details);
	const error = new MillraceError("OFFSET_OUT_OF_RANGE", `${gapFrom}`, details);
	const { logStart, highWatermark } = storage.offsets(topic.handle, partition);
	return new ProblemError(error, undefined, {
		log_start: logStart,
		high_watermark: highWatermark,
	});
}

async function loaded({ host: { storage } }: ApiCaller, token: number): Promise<void> {
	const code = await new Promise<number>((resolve) => storage.onToken(token, resolve));
	if (code !== CODES.NONE.code) throw MillraceError.fromNumber(code);
}

/** Resolves when there are records behind an offset, the time is over, or one of `ends` comes. */
function recordsBehind(
	{ host: { storage, clock } }: ApiCaller,
	handle: TopicHandle,
	partition: number,
	offset: number,
	ms: number,
	ends: readonly AbortSignal[],
): Promise<void> {
	return new Promise((resolve) => {
		const done = () => {
			cancelWatch();
			cancelTimer();
			for (const end of ends) end.removeEventListener("abort", done);
			resolve();
		};
		const cancelWatch = storage.watch(handle, partition, offset, done);
		const cancelTimer = clock.after(ms, done);
		for (const end of ends) end.addEventListener("abort", done);
	});
}
