/** What one producer writes goes to many subscribers, each on a connection of its own. */
import { Payload, RecordHash } from "../payload.ts";
import { openSubscribers, RawSubscriber, recordsOf } from "../raw-subscriber.ts";
import { LIMIT, shareOfRate } from "../roofline.ts";
import {
	checkHash,
	NOTHING_ELSE,
	type RoundResult,
	rateFigure,
	type Scenario,
	type ScenarioContext,
	type TestBed,
	timed,
	withTestBed,
} from "../scenario.ts";
import type { Timeline } from "../timeline.ts";

const RECORD_BYTES = 100;

/** Records between two looks at the clock. */
const BURST_RECORDS = 256;

/** How far the producer may be ahead of the last subscriber: enough for full deliveries. */
const AHEAD_RECORDS_MAX = 16_384;

export function fanOutScenario(subscribers: number): Scenario {
	return {
		name: `websocket-fan-out-${subscribers}`,
		about: `deliveries from one producer to ${subscribers} subscribers, ${RECORD_BYTES} bytes each`,
		tier: "standard",
		run: (context) =>
			withTestBed(context, { durability: "written" }, (bed) => fanOut(bed, context, subscribers)),
	};
}

async function fanOut(
	bed: TestBed,
	{ profile, roofline }: ScenarioContext,
	wanted: number,
): Promise<RoundResult> {
	const payload = new Payload(RECORD_BYTES);
	const count = Math.min(wanted, profile.countMax);
	const subscribers = await openSubscribers(count, (number) =>
		RawSubscriber.open(bed.broker.url, {
			topic: bed.topic,
			from: "latest",
			keeps: number === 0,
		}),
	);
	try {
		const load = new Load(bed, payload, subscribers);
		await load.run(profile.warmUpSeconds, null);
		const warmedUp = load.records;
		const figures = await timed(bed.broker, RECORD_BYTES, async (timeline) => {
			await load.run(profile.seconds, timeline);
			return (load.records - warmedUp) * count;
		});
		const hash = new RecordHash();
		for (const { offset, value } of recordsOf(subscribers[0]?.frames ?? [])) {
			hash.add(offset, value);
		}
		return {
			...NOTHING_ELSE,
			...figures,
			durability: "written",
			figure: rateFigure(figures),
			roofline:
				roofline && shareOfRate(LIMIT.send, roofline.loopback_send, figures.bytes_per_second),
			curve: { of: "subscribers", count },
			verified: checkHash(hash, payload, load.records),
		};
	} finally {
		for (const subscriber of subscribers) subscriber.close();
	}
}

class Load {
	readonly #bed: TestBed;
	readonly #payload: Payload;
	readonly #producer;
	readonly #subscribers: readonly RawSubscriber[];
	records = 0;

	constructor(bed: TestBed, payload: Payload, subscribers: readonly RawSubscriber[]) {
		this.#bed = bed;
		this.#payload = payload;
		this.#producer = bed.client.producer<Uint8Array>({ codec: "bytes" });
		this.#subscribers = subscribers;
	}

	/** Writes for so long; resolves when every subscriber has everything. */
	async run(seconds: number, timeline: Timeline | null): Promise<void> {
		const { topic } = this.#bed;
		const first = this.records;
		const endMs = performance.now() + seconds * 1_000;
		while (performance.now() < endMs) {
			for (let left = BURST_RECORDS; left > 0; left -= 1) {
				const value = this.#payload.value(this.records);
				this.records += 1;
				if (!this.#producer.write({ topic, value })) await this.#producer.drained();
			}
			await this.#reached(this.records - AHEAD_RECORDS_MAX);
			timeline?.note((this.records - first) * this.#subscribers.length);
		}
		await this.#producer.flush();
		await this.#reached(this.records);
	}

	async #reached(offset: number): Promise<void> {
		for (const subscriber of this.#subscribers) {
			if (subscriber.nextOffset < offset) await subscriber.reached(offset);
		}
	}
}
