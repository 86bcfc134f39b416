/**
 * The producer on a network and a broker that fail at random, on a clock of the test's own: a seed
 * always takes the same course, and takes some 20 ms. SEED=1 COUNT=5000 explores further; a failure
 * prints what happened.
 */
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { connectWith } from "../../src/client/client.ts";
import type { Ack, Client, MillraceError } from "../../src/client/index.ts";
import { seed } from "../seed.ts";
import { type ProduceAction, type ProduceEntry, ScriptedBroker } from "./scripted-broker.ts";
import { SimulatedNetwork } from "./simulated-network.ts";
import { running, simulateTime, wait } from "./simulated-time.ts";

const COUNT = Number(process.env.COUNT ?? 24);

const RECORDS = 400;
const PARTITIONS = 3;
const FAILURES: readonly ProduceAction[] = [
	"lose",
	"store_and_lose",
	"ignore",
	...[1007, 87, 59, 47, 7, 56],
	...[56, 1009, 1010].map((refused) => ({ refused, isStored: true })),
	...[1002, 1009].map((refused) => ({ refused, isStored: false })),
];

/** What a seed decides before it begins. */
interface Course {
	/** One of so many frames fails in each way. */
	readonly dice: number;
	/** How long a lost connection's frames may still be on their way, in milliseconds. */
	readonly lateMsMax: number;
	/** How long the process stands still now and then, in milliseconds. */
	readonly stallMsMax: number;
	readonly deliveryTimeoutMs: number;
	/** Part of the records that are large enough for a frame of their own. */
	readonly largePart: number;
}

/** A run of the producer, and what is known of it. */
interface Run {
	readonly broker: ScriptedBroker;
	/** The values given, by partition, in order. */
	readonly given: readonly string[][];
	readonly ends: ReadonlyMap<string, Ack | MillraceError>;
	readonly course: readonly string[];
}

beforeEach(simulateTime);

afterEach(() => {
	vi.restoreAllMocks();
	vi.useRealTimers();
});

/** Numbers from 0 to 1 by xorshift, the same for the same seed. */
function randomOf(seed: number): () => number {
	let state = Math.imul(seed, 2_654_435_761) >>> 0 || 1;
	return () => {
		state ^= state << 13;
		state ^= state >>> 17;
		state ^= state << 5;
		return (state >>> 0) / 0x1_0000_0000;
	};
}

function courseOf(random: () => number): Course {
	const oneOf = (...numbers: number[]): number =>
		numbers[Math.floor(random() * numbers.length)] ?? 0;
	return {
		dice: oneOf(30, 60, 120),
		lateMsMax: oneOf(0, 60, 400),
		stallMsMax: oneOf(0, 50, 200),
		deliveryTimeoutMs: oneOf(150, 300, 2_000),
		largePart: oneOf(0, 0.2),
	};
}

/** A value is its name, and zeroes behind it where it is to be large. */
const nameOf = (value: Uint8Array | null): string =>
	String(Buffer.from(value ?? []).subarray(0, 16)).replace(/\0+$/, "");

const PADDED = { small: new Uint8Array(16), large: new Uint8Array(66_000) };

function encode(name: string, isLarge: boolean): Uint8Array {
	const value = isLarge ? PADDED.large.slice() : PADDED.small.slice();
	value.set(Buffer.from(name));
	return value;
}

const described = ({ partition, baseSequence, records }: ProduceEntry): string =>
	`${partition}#${baseSequence}[${records.map(({ value }) => nameOf(value)).join(" ")}]`;

async function sendAll(
	client: Client,
	course: Course,
	random: () => number,
	events: { ended(name: string, end: Ack | MillraceError): void; paused(): void },
): Promise<string[][]> {
	const { deliveryTimeoutMs, largePart } = course;
	const producer = client.producer<Uint8Array>({ codec: "bytes", deliveryTimeoutMs });
	const given: string[][] = Array.from({ length: PARTITIONS }, () => []);
	const ends: Promise<void>[] = [];
	for (let index = 0; index < RECORDS; index++) {
		const partition = Math.floor(random() * PARTITIONS);
		const name = `${partition}:${index}`;
		given[partition]?.push(name);
		const value = encode(name, random() < largePart);
		const ended = (end: Ack | MillraceError): void => events.ended(name, end);
		ends.push(producer.send({ topic: "t", partition, value }).then(ended, ended));
		if (random() < 0.3) await wait(Math.floor(random() * 6));
		events.paused();
	}
	await Promise.all(ends);
	return given;
}

async function run(seed: number): Promise<Run> {
	const random = randomOf(seed);
	const course = courseOf(random);
	const broker = new ScriptedBroker();
	broker.create("t", PARTITIONS);
	const network = new SimulatedNetwork(broker, random, course.lateMsMax);
	const told: string[] = [`seed ${seed}: ${JSON.stringify(course)}`];
	const tell = (what: string): unknown => told.push(`${performance.now()} ${what}`);
	vi.spyOn(Math, "random").mockImplementation(random);
	let stalledMs = 0;
	const now = performance.now.bind(performance);
	const clock = vi.spyOn(performance, "now").mockImplementation(() => now() + stalledMs);
	broker.onProduce = (entries) => {
		const action = FAILURES[Math.floor(random() * course.dice)] ?? "answer";
		const { producerId } = broker.frames.at(-1) ?? {};
		tell(`${producerId} ${entries.map(described).join(" ")}: ${JSON.stringify(action)}`);
		return action;
	};
	const ends = new Map<string, Ack | MillraceError>();
	const given = await running(async () => {
		const waits = { reconnectMsFirst: 4, reconnectMsMax: 20 };
		const client = await connectWith(network.open, "ws://simulated", waits);
		const sent = await sendAll(client, course, random, {
			ended: (name, end) => {
				tell(`${name} ${"offset" in end ? end.offset : end.message}`);
				ends.set(name, end);
			},
			paused: () => {
				if (random() < 0.01) stalledMs += random() * course.stallMsMax;
				if (random() > 0.005) return;
				tell("cut");
				network.cut();
			},
		});
		await wait(course.lateMsMax + 50);
		await client.close();
		return sent;
	});
	clock.mockRestore();
	return { broker, given, ends, course: told };
}

/** What a run has broken of what a producer promises. */
function broken({ broker, given, ends }: Run): string[] {
	const found: string[] = [];
	for (const [partition, names] of given.entries()) {
		const stored = broker.partition("t", partition).records.map(({ value }) => nameOf(value));
		const twice = stored.filter((name, index) => stored.indexOf(name) !== index);
		if (twice.length > 0) found.push(`stored twice: ${twice}`);
		let last = -1;
		for (const name of names) {
			const end = ends.get(name);
			if (end === undefined) found.push(`neither acknowledged nor failed: ${name}`);
			else if ("offset" in end) {
				if (stored[end.offset] !== name) found.push(`acknowledged, but not there: ${name}`);
				if (end.offset <= last) found.push(`not in order: ${name}`);
				last = end.offset;
			} else if (/it was not (stored|sent)/.test(end.message) && stored.includes(name)) {
				found.push(`"${end.message}", but it is stored: ${name}`);
			}
		}
	}
	return found;
}

test("what was acknowledged is stored once and in order, whatever fails", async () => {
	let acknowledged = 0;
	for (let each = seed; each < seed + COUNT; each++) {
		const result = await run(each);
		const found = broken(result);
		expect(found, [...result.course, ...found].join("\n")).toEqual([]);
		for (const end of result.ends.values()) if ("offset" in end) acknowledged++;
	}
	// The others time out, or are refused.
	expect(acknowledged).toBeGreaterThan((COUNT * RECORDS) / 2);
}, 600_000);
