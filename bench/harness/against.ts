/**
 * Two builds on one machine, round by round in turns: each round is the `millrace bench` of one of
 * them, with its own broker, client and core, so that all of a build is compared.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { runProgram } from "./program.ts";
import { type BenchResults, parseResults, type ScenarioResult } from "./results.ts";
import { median, medianRoofline } from "./roofline.ts";
import { summarize } from "./summary.ts";

export interface AgainstOptions {
	/** A checkout that was built: its `dist` is run. */
	readonly other: string;
	/** So many at most, and no more than fit into the time. */
	readonly rounds: number;
	readonly secondsMax: number;
	/** Names of the scenarios; those that the other build does not have are left out. */
	readonly scenarios: readonly string[];
	/** The rest of the command line of each round. */
	readonly benchOptions: readonly string[];
	readonly command: string;
	readonly onProgress: (step: string) => void;
}

export interface BothResults {
	readonly baseline: BenchResults;
	readonly current: BenchResults;
}

/**
 * Runs one round at least. Rejects when either build's bench fails, or the other one's results have
 * another schema.
 */
export async function runAgainst(options: AgainstOptions): Promise<BothResults> {
	const { other, rounds, secondsMax, benchOptions, command, onProgress } = options;
	const endMs = performance.now() + secondsMax * 1_000;
	const programs = {
		current: fileURLToPath(import.meta.resolve("#bundle/millrace.js")),
		baseline: await commandOf(other),
	};
	onProgress("asking the other build what it can measure");
	const known = (await runBenchProcess(programs.baseline, ["--list"])).split("\n");
	const scenarios = options.scenarios.filter((name) => known.includes(name));
	if (scenarios.length === 0) throw new Error(`the build in ${other} has none of these scenarios`);

	const runs = { baseline: [] as BenchResults[], current: [] as BenchResults[] };
	const chosen = scenarios.map((name) => `--scenario=${name}`);
	let longestMs = 0;
	for (let round = 1; round <= rounds; round += 1) {
		const startMs = performance.now();
		if (round > 1 && startMs + longestMs > endMs) break;
		// Whoever comes second finds the machine warmer: they take turns in that, too.
		const order = ["baseline", "current"] as const;
		for (const which of round % 2 === 0 ? order : order.toReversed()) {
			onProgress(`round ${round} of ${rounds}, ${which === "current" ? "this" : "other"} build`);
			const told = await runBenchProcess(programs[which], [
				...benchOptions,
				...chosen,
				"--rounds=1",
				"--json",
			]);
			runs[which].push(parseResults(told, `what the ${which} build printed`));
		}
		longestMs = Math.max(longestMs, performance.now() - startMs);
	}
	return {
		baseline: mergeRuns(runs.baseline, command),
		current: mergeRuns(runs.current, command),
	};
}

/** The file that is the `millrace` of a checkout. */
async function commandOf(checkout: string): Promise<string> {
	const packageFile = JSON.parse(await readFile(join(checkout, "package.json"), "utf8"));
	const file = packageFile.bin?.millrace;
	if (typeof file !== "string") throw new Error(`there is no millrace in ${checkout}`);
	return join(checkout, file);
}

/** `millrace bench` of one build; resolves with what it printed. Rejects when it fails. */
async function runBenchProcess(program: string, options: readonly string[]): Promise<string> {
	const { status, stdout, stderr } = await runProgram(
		program,
		["bench", ...options],
		"pipe",
		"pipe",
	);
	if (status !== 0) throw new Error(`the bench of ${program} failed: ${stderr.trim()}`);
	return stdout;
}

/** Runs of one round each as one run of many. Throws RangeError without any. */
export function mergeRuns(runs: readonly BenchResults[], command: string): BenchResults {
	const [first] = runs;
	if (first === undefined) throw new RangeError("no runs to merge");
	const rooflines = runs.flatMap(({ roofline }) => (roofline === null ? [] : [roofline]));
	return {
		...first,
		command,
		rounds: runs.length,
		page_cache_warmed_bytes: median(runs.map((run) => run.page_cache_warmed_bytes)),
		roofline: medianRoofline(rooflines),
		results: first.results.map(({ scenario }) =>
			summarize(
				scenario,
				runs.flatMap(({ results }) => roundsOf(results, scenario)),
			),
		),
	};
}

function roundsOf(results: readonly ScenarioResult[], name: string) {
	return results
		.filter(({ scenario }) => scenario === name)
		.map(({ scenario: _, rounds: __, ...round }) => round);
}
