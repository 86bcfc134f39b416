import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

import type { BenchResults } from "../../bench/harness/results.ts";
import { missingPeer } from "../../bench/peers/installed.ts";
import type { PeersResults } from "../../bench/peers/results.ts";
import { COMMAND_FILE, temporaryDirectory } from "../broker-process.ts";

const program = fileURLToPath(new URL("../../dist/bench/all.js", import.meta.url));

interface Ended {
	readonly status: number | null;
	readonly stdout: string;
	readonly stderr: string;
}

async function run(...words: string[]): Promise<Ended> {
	const child = spawn(process.execPath, words);
	let stdout = "";
	let stderr = "";
	child.stdout.on("data", (text) => {
		stdout += String(text);
	});
	child.stderr.on("data", (text) => {
		stderr += String(text);
	});
	const [status] = await once(child, "close");
	return { status, stdout, stderr };
}

function readJson<Results>(file: string): Results {
	return JSON.parse(readFileSync(file, "utf8")) as Results;
}

test("npm run bench:all measures what is missing and writes the page", async (context) => {
	const missing = missingPeer("redis");
	if (missing !== null) context.skip(missing);
	const root = temporaryDirectory();
	const data = join(root, "data");
	const results = join(root, "results");
	const page = join(root, "page.md");
	mkdirSync(data);
	mkdirSync(results);
	const bench = "--profile quick --scenario core-append-1mib --seconds 0.02";
	const extent = "--rounds 1 --seconds 0.1 --mebibytes 2";
	const peers = `--peers redis --scenario redis-produce-written-100b ${extent}`;
	const all = (...options: string[]) =>
		run(
			...[program, "--name=n", `--directory=${data}`, `--results=${results}`, `--page=${page}`],
			...["--rounds=2", "--bench", bench, "--peers", peers, ...options],
		);

	// As an interrupted run leaves it.
	const ofRound = ["--rounds=1", "--json", `--directory=${data}`];
	const first = await run(COMMAND_FILE, "bench", ...bench.split(" "), ...ofRound);
	expect(first.status, first.stderr).toBe(0);
	const firstFile = join(results, "n-round-1.local.json");
	writeFileSync(firstFile, first.stdout);

	const ended = await all();
	expect(ended.status, ended.stderr).toBe(0);
	expect(ended.stderr).not.toContain("round 1 of 2");
	expect(ended.stderr).toContain("round 2 of 2");
	const { rounds, command, results: measured } = readJson<BenchResults>(join(results, "n.json"));
	expect(rounds).toBe(2);
	expect(command).toContain(`npm run bench:all -- --name=n`);
	expect(command).toContain(`--bench "${bench}"`);
	const { results: before } = JSON.parse(first.stdout) as BenchResults;
	expect(measured[0]?.rounds).toHaveLength(2);
	expect(measured[0]?.rounds[0]).toEqual(before[0]?.rounds[0]);
	const beside = readJson<PeersResults>(join(results, "peers", "n.json"));
	expect(beside.groups.map(({ peer }) => peer)).toEqual(["redis"]);
	expect(readFileSync(page, "utf8")).toMatch(/^\| core-append-1mib \| [\d,]+ \|/m);
	expect(readFileSync(page, "utf8")).toMatch(/^\| redis-produce-written-100b \|/m);
	expect(readdirSync(results).sort()).toEqual(["n.json", "peers"]);
	expect(readdirSync(data)).toEqual([]);

	const again = await all();
	expect(again.status, again.stderr).toBe(0);
	expect(again.stderr).not.toContain("round 2 of 2");
	expect(readJson<BenchResults>(join(results, "n.json")).rounds).toBe(2);
});

test("npm run bench:all goes on with no rounds that were asked for otherwise", async () => {
	const root = temporaryDirectory();
	const round = { schema: "millrace-bench/2", command: "millrace bench --json" };
	writeFileSync(join(root, "n-round-1.local.json"), JSON.stringify(round));
	const ended = await run(
		...[program, "--name=n", `--directory=${root}`, `--results=${root}`, "--rounds=2"],
		`--page=${join(root, "page.md")}`,
	);
	expect(ended.status).toBe(1);
	expect(ended.stderr).toContain(
		"n-round-1.local.json cannot be gone on with (millrace bench --json against " +
			"millrace bench --profile full --rounds=1",
	);
	expect(readdirSync(root)).toEqual(["n-round-1.local.json"]);
});
