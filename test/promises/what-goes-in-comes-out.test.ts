/**
 * The promise: what `millrace produce` took, `millrace consume` gives back, byte for byte: a large
 * text file goes through a broker, and both ends have the same SHA-256.
 */
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { createReadStream, createWriteStream, existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

import { BrokerProcess, COMMAND_FILE, runCommand, temporaryDirectory } from "../broker-process.ts";
import { RUNS_LONG_TESTS, TOO_LONG } from "../optional-parts.ts";

const MEBIBYTE = 1_048_576;

/** Real text with lines of all lengths, empty ones included: the first of these that is here. */
const TEXT_FILES = [
	"/var/lib/dpkg/status",
	fileURLToPath(new URL("../../package-lock.json", import.meta.url)),
];

test.for([
	{ mebibytes: 64, isLong: false },
	{ mebibytes: 1_024, isLong: true },
])(
	"a text file of $mebibytes MiB",
	{ timeout: 1_200_000 },
	async ({ mebibytes, isLong }, context) => {
		if (isLong && !RUNS_LONG_TESTS) context.skip(TOO_LONG);
		const directory = temporaryDirectory();
		const input = join(directory, "input");
		await writeText(input, mebibytes * MEBIBYTE);
		const broker = await BrokerProcess.start({ dataDir: join(directory, "data") });
		const url = ["--url", broker.url];
		expect(await runCommand(["topic", "create", "text", ...url])).toMatchObject({ code: 0 });

		const startedMs = performance.now();
		const produced = spawnPiped(["produce", "text", ...url]);
		await pipeline(createReadStream(input), produced.stdin);
		expect(await produced.status).toBe(0);
		const producedMs = performance.now();
		const consumed = spawnPiped(["consume", "text", "--from-beginning", "--exit-at-end", ...url]);
		const output = sha256(consumed.stdout);
		expect(await consumed.status).toBe(0);
		const consumedMs = performance.now();

		expect(await output).toBe(await sha256(createReadStream(input)));
		const rate = (ms: number) => `${((mebibytes * 1_000) / ms).toFixed(0)} MiB/s`;
		process.stdout.write(
			`${mebibytes} MiB: produced at ${rate(producedMs - startedMs)}, ` +
				`consumed at ${rate(consumedMs - producedMs)}\n`,
		);
		expect(await broker.stop()).toMatchObject({ code: 0 });
	},
);

/**
 * Repeats a real file to at least `bytes` bytes; the last line ends with a newline, as consumed.
 */
async function writeText(file: string, bytes: number): Promise<void> {
	const source = TEXT_FILES.find((path) => existsSync(path)) as string;
	const text = readFileSync(source);
	const block = Buffer.concat([text, Buffer.from(text.at(-1) === 0x0a ? "" : "\n")]);
	await pipeline(function* () {
		for (let written = 0; written < bytes; written += block.length) yield block;
	}, createWriteStream(file));
}

function spawnPiped(commandLine: readonly string[]) {
	const child = spawn(process.execPath, [COMMAND_FILE, ...commandLine], {
		stdio: ["pipe", "pipe", "inherit"],
	});
	const status = new Promise<number | null>((resolve, reject) => {
		child.on("error", reject);
		child.on("close", resolve);
	});
	return { stdin: child.stdin, stdout: child.stdout, status };
}

async function sha256(stream: NodeJS.ReadableStream): Promise<string> {
	const hash = createHash("sha256");
	for await (const chunk of stream) hash.update(chunk);
	return hash.digest("hex");
}
