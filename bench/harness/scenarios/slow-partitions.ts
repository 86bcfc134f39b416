/** What many partitions that get a record now and then take of the page cache. */
import { join } from "node:path";

import { LatencyRecorder, type Pace, sendPaced } from "../latency.ts";
import { residentBytes } from "../page-cache.ts";
import { Payload } from "../payload.ts";
import {
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

const RECORD_BYTES = 100;
const PER_SECOND = 4_000;

/** Records of each partition in the timed part. */
const TURNS = 4;

export function slowPartitionsScenario(wanted: number): Scenario {
	return {
		name: `page-cache-partitions-${wanted}`,
		about: `page cache of partitions (${wanted}) that get small records by turns, acked flushed`,
		tier: "full",
		run(context) {
			const partitions = Math.min(wanted, context.profile.countMax);
			return withTestBed(context, { durability: "flushed", partitions }, (bed) =>
				measure(bed, context, partitions),
			);
		},
	};
}

async function measure(
	bed: TestBed,
	{ directory }: ScenarioContext,
	partitions: number,
): Promise<RoundResult> {
	const { broker, client, topic } = bed;
	const payload = new Payload(RECORD_BYTES);
	const producer = client.producer<Uint8Array>({ codec: "bytes" });
	let sent = 0;
	const send = async (recorder: LatencyRecorder, turns: number): Promise<void> => {
		const pending: Promise<void>[] = [];
		const pace: Pace = { perSecond: PER_SECOND, seconds: (turns * partitions) / PER_SECOND };
		await sendPaced(pace, (dueMs) => {
			const ack = producer.send({
				topic,
				partition: sent % partitions,
				value: payload.value(sent),
			});
			sent += 1;
			pending.push(ack.then(() => recorder.record(performance.now() - dueMs)));
		});
		await Promise.all(pending);
	};
	// The first record of a partition makes its files.
	await send(new LatencyRecorder(), 1);

	const recorder = new LatencyRecorder();
	const figures = await timed(broker, RECORD_BYTES, async () => {
		await send(recorder, TURNS);
		return recorder.count;
	});
	const latency = recorder.summary();
	const verified = await verifyUnordered(bed, payload, sent, partitions);
	// Of the topic's files alone; and now: what readers bring in stays there, and what was evicted of
	// it is there again.
	const { topic_id: topicId } = await client.topics.describe(topic);
	const bytes = await residentBytes(join(directory, "data", "logs", topicId));
	return {
		...NOTHING_ELSE,
		...figures,
		durability: "flushed",
		figure: latencyFigure(latency),
		latency,
		curve: { of: "slow partitions", count: partitions },
		extras:
			bytes === null
				? []
				: [{ name: "page cache a slow partition", unit: "bytes", value: bytes / partitions }],
		verified,
	};
}
