/**
 * Idempotent producers whose connections are cut again and again, in the middle of requests and
 * answers: every record is stored, once and in order.
 */
import kafkajs from "kafkajs";
import { expect, test } from "vitest";

import { KAFKAJS_SETTINGS } from "../kafkajs-settings.ts";
import { seed } from "../seed.ts";
import {
	type AckLine,
	CLIENT_PROGRAMS,
	KAFKAJS,
	type ProduceLine,
	type RecordLine,
	runProgram,
} from "./client-programs.ts";
import { KafkaProxy, type KafkaProxyOptions } from "./kafka-proxy.ts";
import { createTopic, serveKafka } from "./kafka-target.ts";

const COUNT = 600;
const PARTITIONS = 2;
const PRODUCE_KEY = 0;
const CORRELATION_ID_AT = 4;
/** Requests after this many are let alone, so that every client gets to its end. */
const CUT_REQUESTS_MAX = 15;
/** For what hangs: several clients start together, some in Java. */
const CONSUME_MS_MAX = 180_000;

const at = serveKafka();

/** Numbers below a limit that one seed always gives in the same order. */
function random(seed: number): (limit: number) => number {
	let state = seed;
	return (limit) => {
		// The generator of Park and Miller.
		state = (state * 48_271) % 2_147_483_647;
		return state % limit;
	};
}

/**
 * Cuts every other produce request, the first one always: in the middle, or behind it in the
 * middle of its answer. Requests that set a client up are let alone: few clients repeat those.
 */
function cutProduce(seed: number, cutsAnswers: boolean): NonNullable<KafkaProxyOptions["cutAt"]> {
	const next = random(seed);
	/** By connection and correlation id: requests whose answers are not to arrive. */
	const unanswered = new Set<string>();
	let requests = 0;
	return (direction, frame, connection) => {
		if (direction === "response") {
			const isCut = unanswered.delete(`${connection}:${frame.readInt32BE(0)}`);
			if (!isCut) return null;
			// kafkajs takes a part of an answer for the beginning of the next connection's.
			return cutsAnswers ? next(frame.length) : 0;
		}
		if (frame.readInt16BE(0) !== PRODUCE_KEY) return null;
		requests += 1;
		if (requests > 1 && (next(2) === 0 || requests > CUT_REQUESTS_MAX)) return null;
		if (next(2) === 0) return next(frame.length);
		unanswered.add(`${connection}:${frame.readInt32BE(CORRELATION_ID_AT)}`);
		return null;
	};
}

test.concurrent.for(CLIENT_PROGRAMS)("$name", async (client, context) => {
	const commandLine = client.commandLine() ?? context.skip(client.missing);
	const { bootstrap } = at();
	const topic = await createTopic(at(), PARTITIONS);
	const proxy = await KafkaProxy.start({
		broker: bootstrap,
		cutAt: cutProduce(seed, client !== KAFKAJS),
	});
	context.onTestFinished(() => proxy.close());

	const lines = Array.from({ length: COUNT }, (_, index): ProduceLine => {
		const value = Buffer.from(`${index} ${"x".repeat(500)}`).toString("base64");
		const partition = index % PARTITIONS;
		return { codec: "none", partition, key: null, value, timestamp: null, headers: [] };
	});
	const options = { bootstrap: proxy.address, topic, idempotent: true };
	const acks = await runProgram<AckLine>(commandLine, "produce", options, lines);
	const told = `seed ${seed}, ${proxy.cuts} cuts`;
	expect(proxy.cuts, told).toBeGreaterThan(0);
	expect(
		acks.filter(({ error }) => error !== undefined),
		told,
	).toEqual([]);

	const records = await runProgram<RecordLine>(commandLine, "consume", {
		bootstrap,
		topic,
		partitions: [0, 1],
		start: "earliest",
		count: COUNT,
		timeoutMs: CONSUME_MS_MAX,
	});
	expect(await endsOf(bootstrap, topic), told).toEqual([COUNT / 2, COUNT / 2]);
	for (const partition of [0, 1]) {
		const stored = records.filter((record) => record.partition === partition);
		const sent = lines.filter((line) => line.partition === partition);
		const values = stored.map(({ value }) => numberOf(value));
		expect(values, told).toEqual(sent.map(({ value }) => numberOf(value)));
		const offsets = acks.filter((ack) => ack.partition === partition).map(({ offset }) => offset);
		expect(offsets, told).toEqual(stored.map(({ offset }) => offset));
	}
});

/** Where the partitions of a topic end, in their order. */
async function endsOf(bootstrap: string, topic: string): Promise<number[]> {
	const admin = new kafkajs.Kafka({ ...KAFKAJS_SETTINGS, brokers: [bootstrap] }).admin();
	await admin.connect();
	const offsets = await admin.fetchTopicOffsets(topic);
	await admin.disconnect();
	return offsets.sort((left, right) => left.partition - right.partition).map(({ high }) => +high);
}

const numberOf = (value: string | null): number =>
	Number.parseInt(Buffer.from(value ?? "", "base64").toString(), 10);
