/** A whole run: machine, page cache, roofline, then every scenario, round after round. */
import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { VERSION } from "#dist/version.js";

import { syncDisk } from "./device.ts";
import { withTemporaryDirectory } from "./interruption.ts";
import { describeMachine, KEEP_FREE_MEMORY } from "./machine.ts";
import { warmPageCache } from "./page-cache.ts";
import type { Profile } from "./profiles.ts";
import { type BenchResults, RESULTS_SCHEMA, type RooflineFigures } from "./results.ts";
import { bareLoopCost, measureRoofline, medianRoofline } from "./roofline.ts";
import type { RoundResult, Scenario } from "./scenario.ts";
import { summarize } from "./summary.ts";

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
	if (machine.reports_free_pages) onProgress(KEEP_FREE_MEMORY);
	return withTemporaryDirectory(options.directory, "millrace-bench-", async (directory) => {
		onProgress("filling the page cache");
		const warmedBytes = await warmPageCache(directory, profile.warmedBytesMax);
		const { rooflines, results } = await runRounds(options, directory);
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
			roofline: medianRoofline(rooflines),
			results: scenarios.map(({ name }) => summarize(name, results.get(name) ?? [])),
		};
	});
}

interface Rounds {
	readonly rooflines: readonly RooflineFigures[];
	readonly results: ReadonlyMap<string, readonly RoundResult[]>;
}

/**
 * All scenarios once, then all again, each time with limits measured anew: what disturbs the
 * machine for a while disturbs all alike.
 */
async function runRounds(
	{ profile, scenarios, onProgress }: RunOptions,
	directory: string,
): Promise<Rounds> {
	const rooflines: RooflineFigures[] = [];
	const results = new Map<string, RoundResult[]>();
	for (let round = 1; round <= profile.rounds; round += 1) {
		const ofRounds = profile.rounds === 1 ? "" : `, round ${round} of ${profile.rounds}`;
		onProgress(`measuring the roofline${ofRounds}`);
		await syncDisk(directory);
		const roofline = measureRoofline(directory, profile);
		if (roofline !== null) rooflines.push(roofline);
		await syncDisk(directory);
		for (const { name, run } of scenarios) {
			onProgress(`${name}${ofRounds}`);
			const own = join(directory, "round");
			await mkdir(own);
			try {
				const result = await run({ directory: own, profile, roofline });
				const round = { ...result, cpu_beside_bare_loop: besideBareLoop(result, roofline) };
				results.set(name, [...(results.get(name) ?? []), round]);
			} finally {
				await rm(own, { recursive: true });
			}
		}
	}
	return { rooflines, results };
}

function besideBareLoop(
	{ broker, roofline: share }: RoundResult,
	figures: RooflineFigures | null,
): number | null {
	const bare = bareLoopCost(share, figures);
	return broker === null || bare === null ? null : broker.cpu_seconds_per_gib / bare;
}
