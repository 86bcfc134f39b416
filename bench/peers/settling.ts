/**
 * Rounds that are not counted. A virtual machine compiles what is often called, and becomes cheaper
 * with every round until it has: only then there is a figure to tell.
 */
import { cpuOf } from "./report.ts";
import type { ContenderRounds } from "./results.ts";

/** The second is the first that can be held against another. */
export const UNCOUNTED_ROUNDS_MIN = 2;

/** A broker that is never done is measured as it is then. */
export const UNCOUNTED_ROUNDS_MAX = 6;

/** The part by which CPU a GiB may lie below the least of the rounds before, and has settled. */
export const FALL_MAX = 0.1;

/** CPU a GiB of the uncounted rounds of one process, by scenario. */
export class Settling {
	/** By scenario: a row a round, a column a contender. */
	readonly #costs = new Map<string, (readonly (number | null)[])[]>();

	/** How many uncounted rounds a scenario has had. */
	roundsOf(scenario: string): number {
		return this.#costs.get(scenario)?.length ?? 0;
	}

	/** Adds the uncounted round that all contenders have had. */
	add(scenario: string, contenders: readonly ContenderRounds[]): void {
		const costs = contenders.map(({ rounds: [round] }) =>
			round === undefined ? null : cpuOf(round),
		);
		this.#costs.set(scenario, [...(this.#costs.get(scenario) ?? []), costs]);
	}

	/** Whether what comes next may be counted. One contender that has not settled holds up all. */
	isSettled(scenario: string): boolean {
		const rounds = this.#costs.get(scenario) ?? [];
		if (rounds.length < UNCOUNTED_ROUNDS_MIN) return false;
		if (rounds.length >= UNCOUNTED_ROUNDS_MAX) return true;
		const [last = [], ...before] = rounds.toReversed();
		return last.every((cost, contender) => {
			const costs = before.map((round) => round[contender] ?? null);
			// Where the system does not tell, no round says more than the first two.
			if (cost === null || costs.includes(null)) return true;
			return cost >= (1 - FALL_MAX) * Math.min(...(costs as number[]));
		});
	}
}
