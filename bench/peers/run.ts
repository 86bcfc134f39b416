/** A whole comparison: peer after peer, each beside Millrace, round after round. */
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";

import { describeMachine } from "../harness/machine.ts";
import { warmPageCache } from "../harness/page-cache.ts";
import {
	type Contender,
	type Extent,
	openGroup,
	type PeerGroup,
	type PeerScenario,
} from "./contender.ts";
import {
	type ContenderRounds,
	type GroupResults,
	PEERS_SCHEMA,
	type PeerRound,
	type PeersResults,
} from "./results.ts";

/** The same load before the timed part, at most: compilers and buffers settle. */
const WARM_UP_SECONDS_MAX = 1;

/** What the round before the first is of the others, in time and in bytes. */
const UNCOUNTED_PART = 1 / 4;

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
	/** How the run was asked for, to be repeated. */
	readonly command: string;
	/** Told what is done next. */
	readonly onProgress: (step: string) => void;
}

/** Rejects when a broker does not start, or when records that came back are not those sent. */
export async function runPeers(options: PeersRunOptions): Promise<PeersResults> {
	const startedAt = new Date().toISOString();
	const machine = await describeMachine(options.directory);
	const groups: GroupResults[] = [];
	for (const group of options.groups) {
		const directory = await mkdtemp(join(options.directory, "millrace-peers-"));
		try {
			groups.push(await runGroup(group, directory, options));
		} finally {
			await rm(directory, { recursive: true });
		}
	}
	return {
		schema: PEERS_SCHEMA,
		started_at: startedAt,
		command: options.command,
		seconds: options.seconds,
		stored_bytes_max: options.storedBytesMax,
		rounds: options.rounds,
		machine,
		groups,
	};
}

async function runGroup(
	group: PeerGroup,
	directory: string,
	options: PeersRunOptions,
): Promise<GroupResults> {
	const { isChosen, warmedBytesMax, onProgress } = options;
	onProgress(`${group.peer}: filling the page cache`);
	const warmedBytes = await warmPageCache(directory, warmedBytesMax);
	onProgress(`${group.peer}: starting the brokers`);
	const { contenders, close } = await openGroup(group, directory);
	try {
		const scenarios = group.scenarios.filter(({ name }) => isChosen(name));
		const rounds = await runRounds(scenarios, contenders, directory, options);
		return {
			peer: group.peer,
			page_cache_warmed_bytes: warmedBytes,
			contenders: contenders.map(({ contender, title, version, written, flushed }) => ({
				contender,
				title,
				version,
				written,
				flushed,
			})),
			scenarios: scenarios.map(({ name, about, load, durability, recordBytes }) => ({
				scenario: name,
				about,
				load: load(),
				durability,
				record_bytes: recordBytes,
				contenders: rounds.get(name) ?? [],
			})),
		};
	} finally {
		await close();
	}
}

/**
 * All scenarios once, then all again, and each with one contender after the other: what disturbs
 * the machine for a while disturbs all alike. Where there are several rounds, a shorter one that is
 * not counted comes before them: a virtual machine compiles what is often called.
 */
async function runRounds(
	scenarios: readonly PeerScenario[],
	contenders: readonly Contender[],
	directory: string,
	options: PeersRunOptions,
): Promise<Map<string, ContenderRounds[]>> {
	const { rounds } = options;
	const results = new Map<string, ContenderRounds[]>();
	for (let round = rounds === 1 ? 1 : 0; round <= rounds; round += 1) {
		for (const scenario of scenarios) {
			const isCounted = round > 0;
			const name = isCounted ? `round ${round} of ${rounds}` : "a round that is not counted";
			const before = results.get(scenario.name) ?? [];
			const after: ContenderRounds[] = [];
			for (const [index, contender] of contenders.entries()) {
				options.onProgress(`${scenario.name}, ${name}: ${contender.title}`);
				const result = await runRound(scenario, contender, directory, extentOf(options, isCounted));
				const earlier = before[index]?.rounds ?? [];
				after.push({ contender: contender.contender, rounds: [...earlier, result] });
			}
			checkAlike(scenario.name, after);
			if (isCounted) results.set(scenario.name, after);
		}
	}
	return results;
}

/** As many records are the same records, whoever stored them. */
function checkAlike(scenario: string, contenders: readonly ContenderRounds[]): void {
	const hashes = new Map<number, string>();
	for (const { records, sha256 } of contenders.flatMap(({ rounds }) =>
		rounds.map(({ verified }) => verified),
	)) {
		if ((hashes.get(records) ?? sha256) !== sha256) {
			throw new Error(`${scenario}: two contenders have ${records} records, but not the same`);
		}
		hashes.set(records, sha256);
	}
}

function extentOf({ seconds, storedBytesMax }: PeersRunOptions, isCounted: boolean): Extent {
	const part = isCounted ? 1 : UNCOUNTED_PART;
	return {
		seconds: seconds * part,
		warmUpSeconds: Math.min(seconds / 4, WARM_UP_SECONDS_MAX) * part,
		storedBytesMax: storedBytesMax * part,
	};
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
		await promisify(execFile)("sync");
	}
}
