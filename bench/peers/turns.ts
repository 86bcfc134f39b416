/** What a run does in which order, and how long that may take. */
import type { PeerGroup, PeerScenario } from "./contender.ts";
import type { GrowingResults } from "./growing-results.ts";
import type { PeerName } from "./results.ts";
import { type Settling, UNCOUNTED_ROUNDS_MIN } from "./settling.ts";

/** One round of one scenario, with all contenders. */
export interface Turn {
	readonly peer: PeerName;
	readonly scenario: PeerScenario;
	/** From 1, of those that are counted and of those that are not. */
	readonly round: number;
	readonly isCounted: boolean;
}

/**
 * The rounds that are still missing: all scenarios once, then all again, so that what disturbs the
 * machine for a while disturbs all alike. Where there are several rounds, those that are not
 * counted come first, as many as there are at least: `addUncounted` adds others.
 */
export function turnsOf(
	{ peer, scenarios }: PeerGroup,
	{ isChosen, rounds }: { isChosen: (scenario: string) => boolean; rounds: number },
	results: Pick<GrowingResults, "roundsOf">,
): Turn[] {
	const missing = scenarios.filter(({ name }) => isChosen(name) && results.roundsOf(name) < rounds);
	const turns: Turn[] = [];
	for (let round = 1; rounds > 1 && round <= UNCOUNTED_ROUNDS_MIN; round += 1) {
		for (const scenario of missing) turns.push({ peer, scenario, round, isCounted: false });
	}
	for (let round = 1; round <= rounds; round += 1) {
		for (const scenario of missing) {
			if (round <= results.roundsOf(scenario.name)) continue;
			turns.push({ peer, scenario, round, isCounted: true });
		}
	}
	return turns;
}

/**
 * Behind the last uncounted turn of a scenario that has not settled: adds another to those that are
 * left, in front of all that are counted.
 */
export function addUncounted(left: Turn[], done: Turn, settling: Settling): void {
	const { scenario, round } = done;
	const hasAnother = left.some((turn) => turn.scenario === scenario && !turn.isCounted);
	if (hasAnother || settling.isSettled(scenario.name)) return;
	const firstCounted = left.findIndex(({ isCounted }) => isCounted);
	left.splice(firstCounted, 0, { ...done, round: round + 1 });
}

/** In every other round from the last to the first; of the same round once more: as they were. */
export function inTurns<Each>(contenders: readonly Each[], round: number): readonly Each[] {
	return round % 2 === 1 ? contenders : contenders.toReversed();
}

/** For a turn that nothing is known of: with what is not timed, for two contenders or three. */
const TIMES_SECONDS = 4;
const SECONDS_BESIDE = 2;

/** How long these turns take by what turns of the same scenarios took, in seconds. */
export function describeLeft(
	turns: readonly Turn[],
	took: ReadonlyMap<string, number>,
	seconds: number,
): string {
	const guess = seconds * TIMES_SECONDS + SECONDS_BESIDE;
	const left = turns.reduce((sum, { scenario: { name } }) => sum + (took.get(name) ?? guess), 0);
	return left < 90 ? `about ${Math.ceil(left)} s left` : `about ${Math.round(left / 60)} min left`;
}
