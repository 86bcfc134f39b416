/**
 * A whole comparison: peer after peer, each beside Millrace, round after round. What was measured
 * is kept after each, and a run goes on where an earlier one has ended.
 */
import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";

import { syncDisk } from "../harness/device.ts";
import { withTemporaryDirectory } from "../harness/interruption.ts";
import { describeMachine, KEEP_FREE_MEMORY } from "../harness/machine.ts";
import { warmPageCache } from "../harness/page-cache.ts";
import {
	type Contender,
	type Extent,
	openGroup,
	type PeerGroup,
	type PeerScenario,
} from "./contender.ts";
import { checkAlike, GrowingResults, type RoundOf } from "./growing-results.ts";
import type { ContenderRounds, PeerRound, PeersResults } from "./results.ts";
import { Settling } from "./settling.ts";
import { addUncounted, describeLeft, inTurns, type Turn, turnsOf } from "./turns.ts";

/** The same load before the timed part, at most: compilers and buffers settle. */
const WARM_UP_SECONDS_MAX = 1;

export interface PeersRunOptions {
	readonly groups: readonly PeerGroup[];
	/** Whether a scenario is to be run. */
	readonly isChosen: (scenario: string) => boolean;
	readonly rounds: number;
	readonly seconds: number;
	readonly storedBytesMax: number;
	/** Page cache that is filled before each group, at most. */
	readonly warmedBytesMax: number;
	/** An existing directory on the disk to measure; nothing is left there. */
	readonly directory: string;
	/** Where results are kept after each round, and an earlier run's are gone on with. */
	readonly file: string | null;
	/** How the run was asked for, to be repeated. */
	readonly command: string;
	/** Told what is done next. */
	readonly onProgress: (step: string) => void;
}

/** What a run has done so far, and has to do. */
interface Progress {
	readonly results: GrowingResults;
	/** The next one is the first. */
	readonly turns: Turn[];
	/** By scenario, of its last turn. */
	readonly took: Map<string, number>;
	readonly settling: Settling;
}

/**
 * Rejects when a broker does not start, when records that came back are not those sent, and when
 * the file of results is another run's.
 */
export async function runPeers(options: PeersRunOptions): Promise<PeersResults> {
	const { groups, directory, command, seconds, rounds, storedBytesMax, file } = options;
	const asked = {
		started_at: new Date().toISOString(),
		command,
		seconds,
		stored_bytes_max: storedBytesMax,
		rounds,
		machine: await describeMachine(directory),
	};
	const results = await GrowingResults.open(asked, file);
	const turns = groups.flatMap((group) => turnsOf(group, options, results));
	const isAnyLeft = turns.length > 0;
	if (isAnyLeft && asked.machine.reports_free_pages) options.onProgress(KEEP_FREE_MEMORY);
	const progress: Progress = { results, turns, took: new Map(), settling: new Settling() };
	for (const group of groups) {
		if (!turns.some(({ peer }) => peer === group.peer)) continue;
		await withTemporaryDirectory(directory, "millrace-peers-", (own) =>
			runGroup(group, own, options, progress),
		);
	}
	return results.results;
}

async function runGroup(
	group: PeerGroup,
	directory: string,
	options: PeersRunOptions,
	progress: Progress,
): Promise<void> {
	const { peer } = group;
	options.onProgress(`${peer}: filling the page cache`);
	const warmedBytes = await warmPageCache(directory, options.warmedBytesMax);
	options.onProgress(`${peer}: starting the brokers`);
	const { contenders, close } = await openGroup(group, directory);
	const ofGroup = {
		peer,
		page_cache_warmed_bytes: warmedBytes,
		contenders: contenders.map(({ contender, title, version, written, flushed }) => ({
			contender,
			title,
			version,
			written,
			flushed,
		})),
	};
	try {
		for (let [turn] = progress.turns; turn?.peer === peer; [turn] = progress.turns) {
			await runTurn(turn, { group: ofGroup, contenders }, directory, options, progress);
			progress.turns.shift();
			if (!turn.isCounted) addUncounted(progress.turns, turn, progress.settling);
		}
	} finally {
		await close();
	}
}

interface RunningGroup {
	readonly group: RoundOf["group"];
	readonly contenders: readonly Contender[];
}

/**
 * One contender after the other: what disturbs the machine for a while disturbs all alike. Whoever
 * comes second finds the machine warmer: they take turns in that, too.
 */
async function runTurn(
	turn: Turn,
	{ group, contenders }: RunningGroup,
	directory: string,
	options: PeersRunOptions,
	{ results, turns, took, settling }: Progress,
): Promise<void> {
	const { scenario, round, isCounted } = turn;
	const { name, about, durability, recordBytes } = scenario;
	const left = describeLeft(turns, took, options.seconds);
	const which = isCounted ? `round ${round} of ${options.rounds}` : `uncounted round ${round}`;
	const startMs = performance.now();
	const all: ContenderRounds[] = [];
	for (const contender of inTurns(contenders, round)) {
		options.onProgress(`${name}, ${which}: ${contender.title}; ${left}`);
		const result = await runRound(scenario, contender, directory, extentOf(options));
		const counted = { ...result, uncounted_rounds: settling.roundsOf(name) };
		all.push({ contender: contender.contender, rounds: [counted] });
	}
	// Among results Millrace is the first.
	const inOrder = inTurns(all, round);
	checkAlike({ scenario: name, contenders: inOrder });
	took.set(name, (performance.now() - startMs) / 1_000);
	if (!isCounted) return settling.add(name, inOrder);
	const ofScenario = {
		scenario: name,
		about,
		load: scenario.load(),
		durability,
		record_bytes: recordBytes,
	};
	await results.add({ group, scenario: ofScenario }, inOrder);
}

function extentOf({ seconds, storedBytesMax }: PeersRunOptions): Extent {
	const warmUpSeconds = Math.min(seconds / 4, WARM_UP_SECONDS_MAX);
	return { seconds, warmUpSeconds, storedBytesMax };
}

async function runRound(
	scenario: PeerScenario,
	contender: Contender,
	directory: string,
	extent: Extent,
): Promise<PeerRound> {
	const own = join(directory, "round");
	await mkdir(own);
	try {
		return await scenario.run(contender, extent, own);
	} catch (error) {
		throw new Error(`${scenario.name} failed with ${contender.title}`, { cause: error });
	} finally {
		await rm(own, { recursive: true });
		// What this round has left to be written is not to be written during the next.
		await syncDisk(directory);
	}
}
