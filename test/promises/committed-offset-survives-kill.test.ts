/**
 * The promise: a committed offset that was acknowledged is there after `kill -9`, wherever in
 * keeping the offsets topic short it comes, and never goes back.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

import { temporaryDirectory } from "../broker-process.ts";
import { type Harness, start } from "../groups/harness.ts";
import { RUNS_LONG_TESTS } from "../optional-parts.ts";

const PROGRAM = fileURLToPath(new URL("programs/commit-offsets.mjs", import.meta.url));
const KILLS = RUNS_LONG_TESTS ? 6 : 3;
/** Rounds between two kills: some roll-ups, and some more for the kills to come at any point. */
const ROUNDS = 45;
const options = { offsetsTopicNumPartitions: 3 };

/** Runs the program until so many rounds were acknowledged, kills it, answers the last of them. */
async function commitAndKill(dataDir: string, from: number, rounds: number): Promise<number> {
	const child = spawn(process.execPath, [PROGRAM, dataDir, `${from}`], {
		stdio: ["ignore", "pipe", "inherit"],
	});
	let output = "";
	let acknowledged = 0;
	child.stdout.setEncoding("latin1");
	child.stdout.on("data", (text: string) => {
		output += text;
		acknowledged = output.split("\n").length - 1;
		if (acknowledged >= rounds) child.kill("SIGKILL");
	});
	const [, signal] = (await once(child, "close")) as [number | null, string | null];
	expect(signal).toBe("SIGKILL");
	return Number(output.split("\n").at(-2));
}

/** The offsets of all partitions of all groups. */
function offsets({ coordinator }: Harness): number[] {
	return [...coordinator.listGroups()]
		.flatMap(({ groupId }) => coordinator.fetchOffsets({ groupId, topics: null }))
		.flatMap(({ partitions }) => partitions.map(({ offset }) => offset));
}

test("committed offsets are there after a kill", async () => {
	const dataDir = temporaryDirectory();
	let next = 1;
	let logStart = 0;
	for (let kill = 0; kill < KILLS; kill++) {
		const acknowledged = await commitAndKill(dataDir, next, ROUNDS + kill * 3);
		const harness = await start({ dataDir, options });
		expect(harness.complaints).toEqual([]);
		const found = offsets(harness);
		expect(found).toHaveLength(8 * 60);
		expect(Math.min(...found)).toBeGreaterThanOrEqual(acknowledged);
		// The round that was not acknowledged may be there, in whole or in part, and nothing beyond.
		expect(Math.max(...found)).toBeLessThanOrEqual(acknowledged + 1);
		next = acknowledged + 2;
		const { handle } = harness.catalogue.get("__consumer_offsets")!;
		for (let partition = 0; partition < 3; partition++) {
			logStart = Math.max(logStart, harness.storage.offsets(handle, partition).logStart);
		}
		await harness.stop();
	}
	expect(logStart, "the logs were rolled up meanwhile").toBeGreaterThan(0);
});
