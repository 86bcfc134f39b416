/** A load in a Node process of its own, for any contender: takes an order, tells its figures. */
import { Payload, RecordHash } from "../../harness/payload.ts";
import type { LoadEvent } from "../load-process.ts";
import type { LoadClient } from "./client.ts";
import { connectMillrace } from "./millrace.ts";
import { connectNats } from "./nats.ts";
import type { LoadOrder } from "./order.ts";
import { connectRedis } from "./redis.ts";

/** Records between two looks at the clock. */
const BURST_RECORDS = 256;

const CONNECT = {
	millrace: connectMillrace,
	nats: connectNats,
	"nats-websocket": connectNats,
	redis: connectRedis,
} as const;

function tell(event: LoadEvent): void {
	process.stdout.write(`${JSON.stringify(event)}\n`);
}

/** Sends record after record of a payload. */
class Sender {
	readonly #client: LoadClient;
	readonly #payload: Payload;
	/** So far, in all runs. */
	records = 0;

	constructor(client: LoadClient, payload: Payload) {
		this.#client = client;
		this.#payload = payload;
	}

	/** For so long, or until `recordsMax` were sent in all runs, and then until all have acks. */
	async run(seconds: number, recordsMax: number): Promise<void> {
		const endMs = performance.now() + seconds * 1_000;
		while (this.records < recordsMax && performance.now() < endMs) {
			for (let left = BURST_RECORDS; left > 0 && this.records < recordsMax; left -= 1) {
				const value = this.#payload.value(this.records);
				this.records += 1;
				const room = this.#client.send(value);
				if (room !== null) await room;
			}
		}
		await this.#client.acknowledged();
	}
}

/** Tells how long `work` took, which resolves to its records and those that are stored then. */
async function timed(work: () => Promise<{ records: number; stored: number }>): Promise<void> {
	tell({ event: "begin" });
	const cpuBefore = process.cpuUsage();
	const startMs = performance.now();
	const counts = await work();
	const seconds = (performance.now() - startMs) / 1_000;
	const { user, system } = process.cpuUsage(cpuBefore);
	tell({ event: "end", ...counts, seconds, cpu_seconds: (user + system) / 1e6 });
}

async function readBack(client: LoadClient, records: number): Promise<void> {
	const hash = new RecordHash();
	await client.read("batches", records, hash);
	tell({ event: "read", records: hash.count, sha256: hash.digest() });
}

async function produce(client: LoadClient, order: LoadOrder, sender: Sender): Promise<void> {
	await sender.run(order.warmUpSeconds, Math.floor(order.records / 4));
	const warmedUp = sender.records;
	await timed(async () => {
		await sender.run(order.seconds, order.records);
		return { records: sender.records - warmedUp, stored: sender.records };
	});
	await readBack(client, sender.records);
}

async function consume(
	client: LoadClient,
	{ read, warmUpSeconds, seconds, records: recordsMax, recordBytes }: LoadOrder,
	sender: Sender,
): Promise<void> {
	// A slow contender has a shorter log, which it reads as long: what is not timed has an end, too.
	await sender.run(seconds, recordsMax);
	const { records } = sender;
	/** Reads the log as often as fits into the time, at least once. */
	const repeat = async (forSeconds: number) => {
		const endMs = performance.now() + forSeconds * 1_000;
		let total = 0;
		do {
			const sums = await client.read(read ?? "batches", records, null);
			if (sums.records !== records || sums.bytes !== records * recordBytes) {
				throw new Error(`${records} records are stored and ${sums.records} were read, or others`);
			}
			total += records;
		} while (performance.now() < endMs);
		return { records: total, stored: records };
	};
	await readBack(client, records);
	await repeat(warmUpSeconds);
	await timed(() => repeat(seconds));
}

const order = JSON.parse(process.argv[2] as string) as LoadOrder;
const client = await CONNECT[order.contender](order);
await client.create(order);
const sender = new Sender(client, new Payload(order.recordBytes));
await (order.read === null ? produce : consume)(client, order, sender);
await client.remove(order.topic);
await client.close();
