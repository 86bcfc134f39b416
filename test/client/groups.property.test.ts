/**
 * Members that come, go and die as a seed has it, while records are produced: nothing is lost, no
 * partition is in the hands of two, and where everybody leaves in order nothing comes twice. A
 * failure prints the seed: SEED=n plays it again.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, test } from "vitest";

import { type Client, connect, type GroupConsumer } from "../../src/client/index.ts";
import { type Broker, startBroker } from "../../src/index.ts";
import { seed } from "../seed.ts";
import { requireTransport, TRANSPORTS } from "../websocket/harness.ts";

const PARTITIONS = 6;
const STEPS = 40;
const MEMBERS_MAX = 5;

/** Random numbers that a seed repeats (mulberry32). */
function randomOf(start: number): (below: number) => number {
	let state = start;
	return (below) => {
		state = (state + 0x6d2b79f5) | 0;
		let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
		mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
		return (((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296) * below;
	};
}

/** What all members together have seen, and who has which partition in hand. */
class Observed {
	readonly deliveries = new Map<string, number>();
	readonly owners = new Map<number, Member>();
	readonly complaints: string[] = [];

	delivered(value: string): void {
		this.deliveries.set(value, (this.deliveries.get(value) ?? 0) + 1);
	}
}

/** A member with a connection and an application of its own. */
class Member {
	readonly name: string;
	readonly #observed: Observed;
	readonly #abort: AbortController;
	readonly #client: Client;
	readonly #consumer: GroupConsumer<string>;
	readonly #random: (below: number) => number;
	#isLeaving = false;
	#isDead = false;
	/** The application is at work on something. */
	#isBusy = false;
	readonly #loop: Promise<void>;

	private constructor(
		name: string,
		observed: Observed,
		[client, abort]: [Client, AbortController],
		random: (below: number) => number,
	) {
		this.name = name;
		this.#observed = observed;
		this.#client = client;
		this.#abort = abort;
		this.#random = random;
		this.#consumer = client.consumer<string>({
			group: "property",
			topics: "records",
			from: "earliest",
			codec: "string",
			autoCommitIntervalMs: 5 + Math.floor(random(30)),
			bufferBytesMax: 4_096,
			onAssign: (partitions) => this.#assigned(partitions.map(({ partition }) => partition)),
			onRevoke: async (partitions, { lost }) => {
				if (lost && !this.#isDead) observed.complaints.push(`${name} lost ${partitions.length}`);
				if (random(3) < 1) await sleep(random(10));
				for (const { partition } of partitions) this.#release(partition);
			},
		});
		this.#loop = random(2) < 1 ? this.#runRecords() : this.#runBatches();
	}

	static async start(
		url: string,
		name: string,
		observed: Observed,
		random: (below: number) => number,
	): Promise<Member> {
		const abort = new AbortController();
		const client = await connect(url, { signal: abort.signal });
		return new Member(name, observed, [client, abort], random);
	}

	/** Leaves in order: what is in hand is finished and committed first. */
	async leave(): Promise<void> {
		this.#isLeaving = true;
		while (this.#isBusy) await sleep(1);
		// The loop waits for a record now, or has been left.
		await this.#consumer.close();
		await this.#loop;
		await this.#client.close();
	}

	/** Is gone from one moment to the next. */
	async die(): Promise<void> {
		this.#isDead = true;
		for (const [partition, owner] of this.#observed.owners) {
			if (owner === this) this.#observed.owners.delete(partition);
		}
		this.#abort.abort();
		await this.#loop.catch(() => undefined);
	}

	#assigned(partitions: number[]): void {
		for (const partition of partitions) {
			const owner = this.#observed.owners.get(partition);
			if (owner !== undefined) {
				this.#observed.complaints.push(`${partition} is ${this.name}'s and ${owner.name}'s`);
			}
			if (!this.#isDead) this.#observed.owners.set(partition, this);
		}
	}

	#release(partition: number): void {
		if (this.#observed.owners.get(partition) === this) this.#observed.owners.delete(partition);
	}

	#took(partition: number, value: string | null): void {
		if (this.#isDead) return;
		if (this.#observed.owners.get(partition) !== this) {
			this.#observed.complaints.push(`${this.name} read ${value}, which is not its own`);
		}
		this.#observed.delivered(value as string);
	}

	async #runRecords(): Promise<void> {
		for await (const { partition, value } of this.#consumer) {
			this.#isBusy = true;
			this.#took(partition, value);
			if (this.#random(30) < 1) await sleep(this.#random(8));
			if (this.#isLeaving && this.#random(4) < 1) {
				await this.#consumer.commit();
				this.#isBusy = false;
				return;
			}
			this.#isBusy = false;
		}
	}

	async #runBatches(): Promise<void> {
		for await (const batch of this.#consumer.batches()) {
			this.#isBusy = true;
			for (const { partition, value } of batch) this.#took(partition, value);
			if (this.#random(3) < 1) await sleep(this.#random(15));
			this.#isBusy = false;
		}
	}
}

/** Plays a seed: what is delivered at the end is every record, each at least once. */
async function play(broker: Broker, random: (below: number) => number, mayDie: boolean) {
	const url = broker.addresses.websocket;
	const admin = await connect(url);
	await admin.topics.create("records", { partitions: PARTITIONS });
	const producer = admin.producer<string>({ codec: "string" });
	const observed = new Observed();
	const members: Member[] = [];
	let memberCount = 0;
	let produced = 0;
	const produce = async (count: number) => {
		const records = Array.from({ length: count }, () => ({
			value: `${produced++}`,
			partition: Math.floor(random(PARTITIONS)),
		}));
		await producer.sendBatch("records", records);
	};
	for (let step = 0; step < STEPS; step++) {
		const choice = random(10);
		if (choice < 3 && members.length < MEMBERS_MAX) {
			members.push(await Member.start(url, `m${memberCount++}`, observed, random));
		} else if (choice < 5 && members.length > 0) {
			const [member] = members.splice(Math.floor(random(members.length)), 1);
			if (mayDie && random(2) < 1) await member?.die();
			else await member?.leave();
		} else if (choice < 9) await produce(1 + Math.floor(random(60)));
		if (random(2) < 1) await sleep(random(25));
	}
	members.push(await Member.start(url, `m${memberCount++}`, observed, random));
	await produce(20);
	await expect.poll(() => observed.deliveries.size).toBe(produced);
	for (const member of members) await member.leave();
	const { partitions } = await admin.groups.describe("property");
	await admin.close();
	return { observed, lags: partitions.map(({ lag }) => lag) };
}

describe.each(TRANSPORTS)("on %s", (websocketTransport) => {
	requireTransport(websocketTransport);
	test.each([false, true])(`seed ${seed}, members that die: %s`, async (mayDie) => {
		const broker = await startBroker({ memory: true, websocketTransport });
		try {
			const { observed, lags } = await play(broker, randomOf(seed), mayDie);
			expect(observed.complaints, `SEED=${seed}`).toEqual([]);
			expect(lags, `SEED=${seed}`).toEqual(Array(PARTITIONS).fill(0));
			if (mayDie) return;
			const twice = [...observed.deliveries].filter(([, count]) => count > 1);
			expect(twice, `SEED=${seed}`).toEqual([]);
		} finally {
			await broker.close();
		}
	});
});
