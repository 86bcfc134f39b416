/**
 * A load that the machine does easily, for long: whether latencies, memory or open files grow.
 * Retention deletes what is old all the time, and a consumer reads along.
 */
import { type Client, connect } from "millrace/client";

import { LatencyRecorder, type Pace, sendPaced } from "../latency.ts";
import { Payload } from "../payload.ts";
import type { Soak, SoakWindow, Trend } from "../results.ts";
import { RETAINED, verifyLeft } from "../retained-log.ts";
import {
	latencyFigure,
	NOTHING_ELSE,
	type RoundResult,
	type Scenario,
	type ScenarioContext,
	type TestBed,
	timed,
	withTestBed,
} from "../scenario.ts";
import type { ServerProcess } from "../server-process.ts";
import { trendOf } from "../trend.ts";

const RECORD_BYTES = 1_024;

/** The paced part of what the machine did at full speed, and for how long it did that at most. */
const LOAD_PART = 0.7;
const FULL_SPEED_SECONDS_MAX = 10;

const WINDOWS = 40;

/** How often memory and files are looked at in a window, where that is not too often. */
const SAMPLES = 10;
const SAMPLE_MS_MIN = 10;

/** Records that the consumer may be behind: at full speed, and before the paced load waits. */
const BEHIND_RECORDS_MAX = { fast: 16_384, paced: 262_144 };
const BURST_RECORDS = 256;

/** What a short stall holds up has room here; what a longer one does is sent late. */
const BUFFER_BYTES_MAX = 67_108_864;

export const soakScenario: Scenario = {
	name: "soak",
	about:
		`from send to a consumer that reads along, at ${LOAD_PART * 100} % of full speed: latencies, ` +
		"memory and open files over time (profile soak: 20 minutes)",
	tier: "soak",
	run: (context) =>
		withTestBed(context, { durability: "written", ...RETAINED }, async (bed) => {
			const subscriber = await connect(bed.broker.url);
			try {
				return await measure(bed, subscriber, context);
			} finally {
				await subscriber.close();
			}
		}),
};

async function measure(
	bed: TestBed,
	subscriber: Client,
	{ profile: { seconds, warmUpSeconds } }: ScenarioContext,
): Promise<RoundResult> {
	const load = await Load.begin(bed, subscriber);
	await load.runFast(warmUpSeconds);
	const fullSpeed = await load.runFast(Math.min(FULL_SPEED_SECONDS_MAX, seconds / 4));
	const perSecond = fullSpeed * LOAD_PART;
	await load.runPaced({ perSecond, seconds: warmUpSeconds }, new Windows(warmUpSeconds, null));

	const windows = new Windows(seconds, bed.broker);
	const figures = await timed(bed.broker, RECORD_BYTES, async () => {
		await load.runPaced({ perSecond, seconds }, windows);
		return windows.all.count;
	});
	await load.end();
	const latency = windows.all.summary();
	return {
		...NOTHING_ELSE,
		...figures,
		durability: "written",
		figure: latencyFigure(latency, "p99"),
		latency,
		soak: windows.soak(fullSpeed),
		verified: await verifyLeft(bed, load.payload, load.sent),
	};
}

/** One producer, and one consumer that holds every record against what was sent. */
class Load {
	readonly payload = new Payload(RECORD_BYTES);
	readonly #topic: string;
	readonly #producer;
	readonly #consumer;
	readonly #reading: Promise<void>;
	/** Records so far, in all runs. */
	sent = 0;
	#came = 0;
	#onRecords: (first: number, end: number) => void = () => undefined;
	#failure: Error | null = null;
	#changed: () => void = () => undefined;

	private constructor({ client, topic }: TestBed, subscriber: Client) {
		this.#topic = topic;
		this.#producer = client.producer<Uint8Array>({
			codec: "bytes",
			bufferBytesMax: BUFFER_BYTES_MAX,
		});
		this.#consumer = subscriber.consumer<Uint8Array>({ topics: topic, codec: "bytes" });
		this.#reading = this.#read().catch((error: Error) => {
			this.#failure = error;
			this.#changed();
		});
	}

	/** Resolves when the consumer gets what is sent. */
	static async begin(bed: TestBed, subscriber: Client): Promise<Load> {
		const load = new Load(bed, subscriber);
		await load.#consumer.ready();
		return load;
	}

	/** As fast as producer and consumer can; resolves with the records a second. */
	async runFast(seconds: number): Promise<number> {
		const before = this.sent;
		const startMs = performance.now();
		while (performance.now() < startMs + seconds * 1_000) {
			for (let left = BURST_RECORDS; left > 0; left -= 1) {
				if (!this.#send()) await this.#producer.drained();
			}
			await this.#reached(this.sent - BEHIND_RECORDS_MAX.fast);
		}
		await this.#producer.flush();
		await this.#reached(this.sent);
		return (this.sent - before) / ((performance.now() - startMs) / 1_000);
	}

	/** Resolves when everything has come; a latency counts from the time that `sendPaced` gives. */
	async runPaced(pace: Pace, windows: Windows): Promise<void> {
		const base = this.sent;
		let startMs = 0;
		// By offset, around and around: there are never more records on their way than places.
		const places = BEHIND_RECORDS_MAX.paced + 1;
		const fromTimes = new Float64Array(places);
		this.#onRecords = (first, end) => {
			const nowMs = performance.now();
			for (let offset = first; offset < end; offset += 1) {
				const fromMs = fromTimes[offset % places] as number;
				windows.record(fromMs - startMs, nowMs - fromMs);
			}
		};
		windows.begin();
		try {
			await sendPaced(pace, (fromMs) => {
				if (this.#failure !== null) throw this.#failure;
				if (this.sent === base) startMs = fromMs;
				fromTimes[this.sent % places] = fromMs;
				const hasRoom = this.#send();
				const behind = this.sent - BEHIND_RECORDS_MAX.paced;
				if (this.#came < behind) return this.#reached(behind);
				return hasRoom ? undefined : this.#producer.drained();
			});
			await this.#producer.flush();
			await this.#reached(this.sent);
		} finally {
			windows.end();
		}
	}

	async end(): Promise<void> {
		await this.#consumer.close();
		await this.#reading;
		if (this.#failure !== null) throw this.#failure;
	}

	#send(): boolean {
		const value = this.payload.value(this.sent);
		this.sent += 1;
		return this.#producer.write({ topic: this.#topic, value });
	}

	async #read(): Promise<void> {
		for await (const batch of this.#consumer.batches()) {
			const first = this.#came;
			for (const { offset, value } of batch) {
				if (
					offset !== this.#came ||
					Buffer.compare(value ?? NO_BYTES, this.payload.value(offset))
				) {
					throw new Error(`record ${this.#came} did not come as it was sent, but record ${offset}`);
				}
				this.#came += 1;
			}
			this.#onRecords(first, this.#came);
			this.#changed();
		}
	}

	async #reached(offset: number): Promise<void> {
		while (this.#came < offset) {
			if (this.#failure !== null) throw this.#failure;
			await new Promise<void>((resolve) => {
				this.#changed = resolve;
			});
		}
	}
}

const NO_BYTES = new Uint8Array();

/** What was found in each part of a run. */
class Windows {
	readonly all = new LatencyRecorder();
	readonly #windowMs: number;
	readonly #broker: ServerProcess | null;
	readonly #latencies = Array.from({ length: WINDOWS }, () => new LatencyRecorder());
	readonly #samples = Array.from({ length: WINDOWS }, () => new Samples());
	#timer: NodeJS.Timeout | undefined;

	/** `broker` is looked at all the time; null: nobody is. */
	constructor(seconds: number, broker: ServerProcess | null) {
		this.#windowMs = (seconds * 1_000) / WINDOWS;
		this.#broker = broker;
	}

	/** A record that counts from so long after the beginning. */
	record(atMs: number, latencyMs: number): void {
		this.all.record(latencyMs);
		this.#latencies[this.#windowAt(atMs)]?.record(latencyMs);
	}

	begin(): void {
		const broker = this.#broker;
		if (broker === null) return;
		const startMs = performance.now();
		this.#timer = setInterval(
			() => {
				const samples = this.#samples[this.#windowAt(performance.now() - startMs)];
				samples?.add(broker.usage()?.anonymousBytes, broker.openFiles());
			},
			Math.max(SAMPLE_MS_MIN, this.#windowMs / SAMPLES),
		);
	}

	end(): void {
		clearInterval(this.#timer);
	}

	soak(fullSpeed: number): Soak {
		const windows = this.#latencies.map((recorder, index): SoakWindow => {
			const { p50_us, p99_us, p999_us } = recorder.summary();
			return {
				ends_at_seconds: ((index + 1) * this.#windowMs) / 1_000,
				...{ p50_us, p99_us, p999_us },
				...(this.#samples[index] as Samples).means(),
			};
		});
		const trend = (what: Trend["what"], value: (window: SoakWindow) => number | null) =>
			trendOf(what, windows.map(value));
		return {
			full_speed_records_per_second: fullSpeed,
			window_seconds: this.#windowMs / 1_000,
			windows,
			trends: [
				trend("p50", ({ p50_us }) => p50_us),
				trend("p99", ({ p99_us }) => p99_us),
				trend("p99.9", ({ p999_us }) => p999_us),
				trend("memory", ({ anonymous_bytes }) => anonymous_bytes),
				trend("open files", ({ open_files }) => open_files),
			],
		};
	}

	#windowAt(ms: number): number {
		return Math.min(WINDOWS - 1, Math.floor(ms / this.#windowMs));
	}
}

/** What a broker had at some moments; where the system does not tell, there are none. */
class Samples {
	#count = 0;
	#anonymousBytes = 0;
	#openFiles = 0;

	add(anonymousBytes: number | undefined, openFiles: number | null): void {
		if (anonymousBytes === undefined || openFiles === null) return;
		this.#count += 1;
		this.#anonymousBytes += anonymousBytes;
		this.#openFiles += openFiles;
	}

	means(): Pick<SoakWindow, "anonymous_bytes" | "open_files"> {
		if (this.#count === 0) return { anonymous_bytes: null, open_files: null };
		return {
			anonymous_bytes: this.#anonymousBytes / this.#count,
			open_files: this.#openFiles / this.#count,
		};
	}
}
