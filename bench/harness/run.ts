/** A whole run: machine, page cache, roofline, then every scenario, round after round. */
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import { VERSION } from "#dist/version.js";

import { describeMachine } from "./machine.ts";
import { warmPageCache } from "./page-cache.ts";
import type { Profile } from "./profiles.ts";
import {
	type BenchResults,
	RESULTS_SCHEMA,
	type RooflineFigures,
	type ScenarioResult,
} from "./results.ts";
import { measureRoofline } from "./roofline.ts";
import type { RoundResult, Scenario } from "./scenario.ts";

export interface RunOptions {
	readonly profile: Profile;
	readonly scenarios: readonly Scenario[];
	/** An existing directory on the disk to measure; nothing is left there. */
	readonly directory: string;
	/** How the run was asked for, to be repeated. */
	readonly command: string;
	/** Told what is done next. */
	readonly onProgress: (step: string) => void;
}

/** Rejects when a broker does not start, or when records that came back are not those sent. */
export async function runBench(options: RunOptions): Promise<BenchResults> {
	const { profile, scenarios, command, onProgress } = options;
	const startedAt = new Date().toISOString();
	const machine = await describeMachine(options.directory);
	const directory = await mkdtemp(join(options.directory, "millrace-bench-"));
	try {
		onProgress("filling the page cache");
		const warmedBytes = await warmPageCache(directory, profile.warmedBytesMax);
		onProgress("measuring the roofline");
		const roofline = measureRoofline(directory, profile);
		const results = await runRounds(options, directory, roofline);
		return {
			schema: RESULTS_SCHEMA,
			millrace: VERSION,
			started_at: startedAt,
			command,
			profile: profile.name,
			seconds: profile.seconds,
			rounds: profile.rounds,
			machine,
			page_cache_warmed_bytes: warmedBytes,
			roofline,
			results: scenarios.map(({ name }) => summarize(name, results.get(name) ?? [])),
		};
	} finally {
		await rm(directory, { recursive: true });
	}
}

/** All scenarios once, then all again: what disturbs the machine for a while disturbs all alike. */
async function runRounds(
	{ profile, scenarios, onProgress }: RunOptions,
	directory: string,
	roofline: RooflineFigures | null,
): Promise<Map<string, RoundResult[]>> {
	const results = new Map<string, RoundResult[]>();
	for (let round = 1; round <= profile.rounds; round += 1) {
		for (const { name, run } of scenarios) {
			onProgress(profile.rounds === 1 ? name : `${name}, round ${round} of ${profile.rounds}`);
			const own = join(directory, "round");
			await mkdir(own);
			try {
				const result = await run({ directory: own, profile, roofline });
				results.set(name, [...(results.get(name) ?? []), result]);
			} finally {
				await rm(own, { recursive: true });
			}
		}
	}
	return results;
}

/** The median round; of an even number, the slower one of the two in the middle. */
export function summarize(scenario: string, rounds: readonly RoundResult[]): ScenarioResult {
	const fastestFirst = [...rounds].sort((a, b) =>
		a.latency !== null && b.latency !== null
			? a.latency.p50_us - b.latency.p50_us
			: b.records_per_second - a.records_per_second,
	);
	const middle = fastestFirst[fastestFirst.length >> 1];
	if (middle === undefined) throw new RangeError(`${scenario} has no rounds`);
	return {
		scenario,
		...middle,
		round_figures: rounds.map(({ latency, records_per_second }) =>
			latency === null ? records_per_second : latency.p50_us,
		),
	};
}
