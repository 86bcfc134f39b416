/** Results that grow round by round, in memory and in a file that another run goes on with. */
import { readFile, rename, writeFile } from "node:fs/promises";
import { isDeepStrictEqual } from "node:util";

import { machineDifference } from "../harness/compare.ts";
import { parseOfSchema } from "../harness/results.ts";
import {
	type ContenderRounds,
	type GroupResults,
	PEERS,
	PEERS_SCHEMA,
	type PeerScenarioResults,
	type PeersResults,
} from "./results.ts";

/** What a run is to have, before anything was measured. */
export type Asked = Omit<PeersResults, "schema" | "groups">;

/** Who took part in a round, and in what. */
export interface RoundOf {
	readonly group: Omit<GroupResults, "scenarios">;
	readonly scenario: Omit<PeerScenarioResults, "contenders">;
}

export class GrowingResults {
	#results: PeersResults;
	readonly #file: string | null;

	private constructor(results: PeersResults, file: string | null) {
		this.#results = results;
		this.#file = file;
	}

	/**
	 * Goes on with a file where there is one, and begins anew otherwise; null: nothing is written.
	 * Rejects for a file that is not of this machine or was asked for with other settings.
	 */
	static async open(asked: Asked, file: string | null): Promise<GrowingResults> {
		const earlier = file === null ? null : await readEarlier(file);
		const results = earlier === null ? begin(asked) : goOn(earlier, asked, file as string);
		return new GrowingResults(results, file);
	}

	get results(): PeersResults {
		return this.#results;
	}

	/** How many rounds of a scenario there are. */
	roundsOf(name: string): number {
		const scenarios = this.#results.groups.flatMap(({ scenarios }) => scenarios);
		const found = scenarios.find(({ scenario }) => scenario === name);
		return found?.contenders[0]?.rounds.length ?? 0;
	}

	/** Adds one round of every contender, and resolves when the file has it. */
	async add(of: RoundOf, round: readonly ContenderRounds[]): Promise<void> {
		this.#results = withRound(this.#results, of, round);
		await this.#write();
	}

	/** All at once: whoever reads the file finds the results of before or these. */
	async #write(): Promise<void> {
		if (this.#file === null) return;
		const unfinished = `${this.#file}.unfinished`;
		await writeFile(unfinished, `${JSON.stringify(this.#results)}\n`);
		await rename(unfinished, this.#file);
	}
}

function begin(asked: Asked): PeersResults {
	return { schema: PEERS_SCHEMA, ...asked, groups: [] };
}

async function readEarlier(file: string): Promise<PeersResults | null> {
	let text: string;
	try {
		text = await readFile(file, "utf8");
	} catch (error) {
		if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
		throw error;
	}
	return parsePeersResults(text, file);
}

/** Parses a file of results. Throws Error for anything else, and for another schema's. */
export function parsePeersResults(text: string, name: string): PeersResults {
	return parseOfSchema(text, name, PEERS_SCHEMA);
}

function goOn(earlier: PeersResults, asked: Asked, file: string): PeersResults {
	const settings = ({ seconds, rounds, stored_bytes_max }: Asked): string =>
		`${rounds} x ${seconds} s, at most ${stored_bytes_max} bytes`;
	const difference =
		settings(earlier) === settings(asked)
			? machineDifference(earlier.machine, asked.machine)
			: `${settings(earlier)} against ${settings(asked)}`;
	if (difference !== null) {
		throw new Error(
			`${file} cannot be gone on with (${difference}): ask for the same, or for another file`,
		);
	}
	const { machine, command } = earlier;
	const load_average = Math.max(machine.load_average, asked.machine.load_average);
	return {
		...earlier,
		command: command.split(AND).includes(asked.command)
			? command
			: `${command}${AND}${asked.command}`,
		machine: { ...machine, load_average },
	};
}

/** Between the commands of runs that went on with each other, as a shell has it. */
const AND = " && ";

/** The results with one round more. Throws when it is not of the same contenders as the others. */
export function withRound(
	results: PeersResults,
	{ group, scenario }: RoundOf,
	round: readonly ContenderRounds[],
): PeersResults {
	const { peer } = group;
	const before = results.groups.find((known) => known.peer === peer) ?? { ...group, scenarios: [] };
	const { contenders, ...ofScenario } = before.scenarios.find(
		(known) => known.scenario === scenario.scenario,
	) ?? { ...scenario, contenders: [] };
	if (!isDeepStrictEqual(before.contenders, group.contenders)) {
		throw new Error(`earlier rounds beside ${peer} are of other versions or settings`);
	}
	if (!isDeepStrictEqual(ofScenario, scenario)) {
		throw new Error(`earlier rounds of ${scenario.scenario} have another load`);
	}
	const after: PeerScenarioResults = {
		...scenario,
		contenders: round.map(({ contender, rounds }, index) => ({
			contender,
			rounds: [...(contenders[index]?.rounds ?? []), ...rounds],
		})),
	};
	checkAlike(after);
	const scenarios = before.scenarios.filter((known) => known.scenario !== scenario.scenario);
	const groups = results.groups.filter((known) => known.peer !== peer);
	return {
		...results,
		groups: [...groups, { ...before, scenarios: [...scenarios, after] }].sort(
			(one, other) => PEERS.indexOf(one.peer) - PEERS.indexOf(other.peer),
		),
	};
}

/** As many records are the same records, whoever stored them. */
export function checkAlike({
	scenario,
	contenders,
}: Pick<PeerScenarioResults, "scenario" | "contenders">): void {
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

/** The scenarios that do not have all their rounds; of the planned ones also those without any. */
export function unfinished(
	{ rounds: wanted, groups }: PeersResults,
	planned: readonly string[],
): string[] {
	const begun = groups.flatMap(({ scenarios }) => scenarios);
	const names = begun.map(({ scenario }) => scenario);
	const shorter = begun.flatMap(({ scenario, contenders }) => {
		const rounds = contenders[0]?.rounds.length ?? 0;
		return rounds < wanted ? [`${scenario}: ${rounds} of ${wanted} rounds`] : [];
	});
	const missing = planned.filter((name) => !names.includes(name));
	return [...shorter, ...missing.map((name) => `${name}: never run`)];
}
