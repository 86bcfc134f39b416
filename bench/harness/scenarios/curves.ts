/**
 * The same paced load with more and more things around it: cost should grow with the work that is
 * done, not with what exists.
 */
import { type Client, connect, type Producer } from "millrace/client";

import { LatencyRecorder, type Pace, sendPaced } from "../latency.ts";
import { Payload } from "../payload.ts";
import type { CurvePoint, Extra } from "../results.ts";
import {
	createTopic,
	type Durability,
	latencyFigure,
	NOTHING_ELSE,
	type RoundResult,
	type Scenario,
	type ScenarioContext,
	type TestBed,
	timed,
	verifyUnordered,
	withTestBed,
} from "../scenario.ts";
import { settledBytes } from "../server-process.ts";

const LOAD = {
	durability: "written",
	recordBytes: 100,
	perSecond: 4_000,
	percentile: "p50",
} as const satisfies PacedLoad;

/** Connections that are made at a time. */
const AT_ONCE = 100;

export function partitionsScenario(wanted: number): Scenario {
	return {
		name: `websocket-produce-partitions-${wanted}`,
		about: `paced produce in turns to partitions (${wanted}), and what idle ones take`,
		tier: "full",
		async run(context) {
			const partitions = Math.min(wanted, context.profile.countMax);
			return withTestBed(context, { durability: "written" }, async (bed) => {
				const before = await settledBytes(bed.broker, context.profile.seconds);
				const topic = `${bed.topic}-many`;
				const startMs = performance.now();
				await createTopic(bed.client, "written", partitions, { name: topic });
				const creatingMs = performance.now() - startMs;
				const after = await settledBytes(bed.broker, context.profile.seconds);
				const bytes = Math.max(0, after - before) / partitions;
				const producer = bed.client.producer<Uint8Array>({ codec: "bytes" });
				return measurePaced({ ...bed, topic }, context, LOAD, {
					curve: { of: "partitions", count: partitions },
					producerOf: () => producer,
					partitions,
					extras: [
						{ name: "creating the topic", unit: "ms", value: creatingMs },
						{ name: "memory an idle partition", unit: "bytes", value: bytes },
					],
				});
			});
		},
	};
}

export function connectionsScenario(wanted: number): Scenario {
	return {
		name: `websocket-produce-connections-${wanted}`,
		about:
			`paced produce in turns over connections (${wanted}), ` +
			`${LOAD.perSecond} records a second`,
		tier: "full",
		async run(context) {
			const count = Math.min(wanted, context.profile.countMax);
			return withTestBed(context, { durability: "written" }, async (bed) => {
				const clients = await connectMany(bed.broker.url, count);
				try {
					const producers = clients.map((client) =>
						client.producer<Uint8Array>({ codec: "bytes" }),
					);
					return await measurePaced(bed, context, LOAD, {
						curve: { of: "connections", count },
						producerOf: (number) => producers[number % count] as Producer<Uint8Array>,
						partitions: 1,
						extras: [],
					});
				} finally {
					await Promise.all(clients.map((client) => client.close()));
				}
			});
		},
	};
}

/** So many clients of one broker, a hundred at a time. */
export async function connectMany(url: string, count: number): Promise<Client[]> {
	const clients: Client[] = [];
	while (clients.length < count) {
		const connecting = Array.from({ length: Math.min(AT_ONCE, count - clients.length) }, () =>
			connect(url),
		);
		clients.push(...(await Promise.all(connecting)));
	}
	return clients;
}

/** What is sent, and what its acks wait for. */
export interface PacedLoad {
	readonly durability: Durability;
	readonly recordBytes: number;
	readonly perSecond: number;
	/** Of the acks: what rounds are ordered by. */
	readonly percentile: "p50" | "p99";
}

/** What there is around it. */
export interface Around {
	readonly curve: CurvePoint;
	/** Who sends the record of that number. */
	readonly producerOf: (number: number) => Producer<Uint8Array>;
	readonly partitions: number;
	readonly extras: readonly Extra[];
}

/** From when a record was due to its ack; records go to the partitions in turns. */
export async function measurePaced(
	bed: TestBed,
	{ profile: { seconds, warmUpSeconds } }: ScenarioContext,
	{ durability, recordBytes, perSecond, percentile }: PacedLoad,
	{ curve, producerOf, partitions, extras }: Around,
): Promise<RoundResult> {
	const payload = new Payload(recordBytes);
	let sent = 0;
	const send = async (recorder: LatencyRecorder, pace: Pace): Promise<void> => {
		const pending: Promise<void>[] = [];
		await sendPaced(pace, (dueMs) => {
			const record = {
				topic: bed.topic,
				partition: sent % partitions,
				value: payload.value(sent),
			};
			const ack = producerOf(sent).send(record);
			sent += 1;
			pending.push(ack.then(() => recorder.record(performance.now() - dueMs)));
		});
		await Promise.all(pending);
	};
	// Everybody once, at the same pace: what begins with a first record is not what is measured.
	const firstSeconds = Math.max(warmUpSeconds, curve.count / perSecond);
	await send(new LatencyRecorder(), { perSecond, seconds: firstSeconds });

	const recorder = new LatencyRecorder();
	const figures = await timed(bed.broker, recordBytes, async () => {
		await send(recorder, { perSecond, seconds });
		return recorder.count;
	});
	const latency = recorder.summary();
	return {
		...NOTHING_ELSE,
		...figures,
		durability,
		figure: latencyFigure(latency, percentile),
		latency,
		curve,
		extras,
		verified: await verifyUnordered(bed, payload, sent, partitions),
	};
}
