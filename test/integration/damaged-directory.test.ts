/**
 * What a broker does with a data directory that is not as a broker left it: it serves whatever is
 * whole, says what is not, and refuses with an exit code of its own what it cannot serve.
 */
import {
	appendFileSync,
	cpSync,
	mkdirSync,
	readdirSync,
	readFileSync,
	renameSync,
	rmSync,
	truncateSync,
	writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import type { Gap } from "../../src/client/consumer/subscription.ts";
import { connect } from "../../src/client/index.ts";
import { BrokerProcess, runCommand, temporaryDirectory } from "../broker-process.ts";

const COUNT = 400;
const PARTITIONS = 2;

/** A directory with records in several segments of two partitions, left by a stop or by a kill. */
async function filledDirectory(ending: "stop" | "kill"): Promise<string> {
	const dataDir = join(temporaryDirectory(), "data");
	const broker = await BrokerProcess.start({ dataDir });
	const client = await connect(broker.url);
	await client.topics.create("topic", {
		partitions: PARTITIONS,
		configs: { "segment.bytes": 1_048_576 },
	});
	const producer = client.producer();
	for (let number = 0; number < COUNT; number += 10) {
		const records = Array.from({ length: 10 }, (_, index) => ({
			value: `${number + index} ${"x".repeat(12_000)}`,
			partition: (number / 10) % PARTITIONS,
		}));
		await producer.sendBatch("topic", records);
	}
	await client.close();
	await (ending === "stop" ? broker.stop() : broker.kill());
	return dataDir;
}

/** The files of one kind in a partition, oldest first. */
function files(dataDir: string, extension: string, partition = 0): string[] {
	const logs = join(dataDir, "logs");
	const [topic] = readdirSync(logs);
	const directory = join(logs, topic as string, `${partition}`);
	const names = readdirSync(directory).filter((name) => name.endsWith(extension));
	return names.sort().map((name) => join(directory, name));
}

interface Served {
	values: Set<number>;
	gaps: Gap[];
	stderr: string;
}

/** Starts a broker and reads everything that it serves; it takes new records, too. */
async function serve(dataDir: string): Promise<Served> {
	const broker = await BrokerProcess.start({ dataDir });
	const client = await connect(broker.url);
	const [values, gaps] = [new Set<number>(), [] as Served["gaps"]];
	const consumer = client.consumer<string>({
		topics: "topic",
		from: "earliest",
		until: "end",
		onGap: (gap) => gaps.push(gap),
	});
	for await (const { value } of consumer) values.add(Number.parseInt(value as string, 10));
	for (let partition = 0; partition < PARTITIONS; partition++) {
		await client.producer().send({ topic: "topic", partition, value: "new" });
	}
	await client.close();
	const { code, stderr } = await broker.stop();
	expect(code).toBe(0);
	return { values, gaps, stderr };
}

/** Does something to every file of one kind. */
const toAll = (extension: string, damage: (file: string) => void) => (dataDir: string) => {
	for (const file of files(dataDir, extension)) damage(file);
};
const toLast = (extension: string, damage: (file: string) => void) => (dataDir: string) => {
	damage(files(dataDir, extension).at(-1) as string);
};

/** Damage that costs nothing: what is damaged can be made again. */
const HINTS: [what: string, damage: (dataDir: string) => void][] = [
	["indexes that are gone", toAll(".index", (file) => rmSync(file))],
	["indexes of noise", toAll(".index", (file) => writeFileSync(file, "x".repeat(5_000)))],
	["indexes that are cut short", toAll(".index", (file) => truncateSync(file, 10))],
	["no checkpoint", (dataDir) => rmSync(join(dataDir, "checkpoint"), { force: true })],
	["a checkpoint of noise", (dataDir) => writeFileSync(join(dataDir, "checkpoint"), "noise")],
	[
		"half a batch behind the end",
		toLast(".log", (file) => appendFileSync(file, readFileSync(file).subarray(0, 1_000))),
	],
	["zeroes behind the end", toLast(".log", (file) => appendFileSync(file, Buffer.alloc(100_000)))],
	["a foreign file", (dataDir) => writeFileSync(join(dataDir, "logs", "notes.txt"), "mine")],
];

test.each(["stop", "kill"] as const)(
	"after a %s what can be made again costs nothing",
	async (ending) => {
		const original = await filledDirectory(ending);
		for (const [what, damage] of HINTS) {
			const dataDir = join(temporaryDirectory(), "data");
			cpSync(original, dataDir, { recursive: true });
			damage(dataDir);
			const { values, gaps } = await serve(dataDir);
			expect({ what, count: values.size, gaps }).toEqual({ what, count: COUNT, gaps: [] });
		}
	},
);

/** Where the second batch of a log begins: behind the bytes that the first one counts. */
const secondBatch = (log: Buffer) => 12 + log.readInt32BE(8);

test("a changed byte in the middle costs its batch, which consumers are told of", async () => {
	const dataDir = await filledDirectory("kill");
	const [first] = files(dataDir, ".log") as [string];
	const bytes = readFileSync(first);
	const at = secondBatch(bytes) + 1_000;
	bytes.writeUInt8(bytes.readUInt8(at) ^ 1, at);
	writeFileSync(first, bytes);
	expect(await runCommand(["verify", "--data-dir", dataDir])).toMatchObject({ code: 4 });

	const { values, gaps, stderr } = await serve(dataDir);
	expect(gaps.length).toBe(1);
	const [{ from, to, error }] = gaps as [Gap];
	expect(error.code).toBe("DAMAGED_RANGE");
	expect(stderr).toContain("damaged records are skipped");
	expect(to - from).toBe(10);
	expect(values.size).toBe(COUNT - 10);
	// The next start knows of it as well.
	expect((await serve(dataDir)).gaps).toMatchObject([{ from, to }]);
});

test("what goes bad behind a clean stop is found by a reader, and known from then on", async () => {
	const dataDir = await filledDirectory("stop");
	const [first] = files(dataDir, ".log") as [string];
	const bytes = readFileSync(first);
	const at = secondBatch(bytes) + 1_000;
	bytes.writeUInt8(bytes.readUInt8(at) ^ 1, at);
	writeFileSync(first, bytes);
	const found = await serve(dataDir);
	expect(found.stderr).not.toContain("recovery");
	expect(found.gaps).toMatchObject([{ to: (found.gaps[0]?.from ?? 0) + 10 }]);
	expect(files(dataDir, ".damage").length).toBe(1);
	const { code, stderr, stdout } = await runCommand(["verify", "--data-dir", dataDir]);
	expect(code).toBe(4);
	expect(stdout + stderr).toContain("known");
	expect((await serve(dataDir)).gaps).toMatchObject(
		found.gaps.map(({ from, to }) => ({ from, to })),
	);
});

test("a directory that no topic claims is set aside and told of, never deleted", async () => {
	const dataDir = await filledDirectory("stop");
	const stray = "01890a5d-ac96-774b-bcce-b302099a8057";
	mkdirSync(join(dataDir, "logs", stray, "0"), { recursive: true });
	writeFileSync(join(dataDir, "logs", stray, "0", "precious"), "data");
	const { values, stderr } = await serve(dataDir);
	expect(values.size).toBe(COUNT);
	expect(stderr).toContain(stray);
	const found = readdirSync(join(dataDir, "set-aside"), { recursive: true }).map(String);
	expect(found.some((path) => path.endsWith("precious"))).toBe(true);
});

/** Directories that cannot be served. */
const REFUSED: [what: string, code: number, says: string, damage: (dataDir: string) => void][] = [
	[
		"of a newer format",
		5,
		"DATA_DIRECTORY_NEWER",
		(dataDir) => {
			const file = join(dataDir, "format.json");
			const format = JSON.parse(readFileSync(file, "utf8"));
			writeFileSync(file, JSON.stringify({ ...format, format_version: 1_000 }));
		},
	],
	[
		"whose format is unreadable",
		4,
		"DATA_DAMAGED",
		(dataDir) => writeFileSync(join(dataDir, "format.json"), "{"),
	],
	[
		"without a partition's directory",
		4,
		"DATA_DAMAGED",
		(dataDir) => {
			const directory = join(files(dataDir, ".log")[0] as string, "..");
			renameSync(directory, join(dataDir, "elsewhere"));
		},
	],
	[
		"whose metadata is noise",
		4,
		"DATA_DAMAGED",
		(dataDir) => writeFileSync(join(dataDir, "metadata.redb"), "x".repeat(100_000)),
	],
	[
		"whose metadata is cut short",
		4,
		"DATA_DAMAGED",
		(dataDir) => truncateSync(join(dataDir, "metadata.redb"), 5_000),
	],
];

test("a directory that cannot be served is refused and left as it is", async () => {
	const original = await filledDirectory("stop");
	for (const [what, code, says, damage] of REFUSED) {
		const dataDir = join(temporaryDirectory(), "data");
		cpSync(original, dataDir, { recursive: true });
		damage(dataDir);
		const listed = readdirSync(dataDir, { recursive: true }).map(String).sort();
		const start = ["start", "--data-dir", dataDir, "--websocket", "127.0.0.1:0"];
		const ending = await runCommand(start);
		expect({ what, code: ending.code, stderr: ending.stderr }).toEqual({
			what,
			code,
			stderr: expect.stringContaining(says),
		});
		expect(readdirSync(dataDir, { recursive: true }).map(String).sort()).toEqual(listed);
	}
});
