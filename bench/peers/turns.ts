/** What a run does in which order, and how long that may take. */
import type { PeerGroup, PeerScenario } from "./contender.ts";
import type { GrowingResults } from "./growing-results.ts";
import type { PeerName } from "./results.ts";

/** One round of one scenario, with all contenders. */
export interface Turn {
	readonly peer: PeerName;
	readonly scenario: PeerScenario;
	/** From 1; 0 is not counted. */
	readonly round: number;
}

/**
 * The rounds that are still missing: all scenarios once, then all again, so that what disturbs the
 * machine for a while disturbs all alike. Where there are several rounds, a shorter one that is not
 * counted comes before them: a virtual machine compiles what is often called.
 */
export function turnsOf(
	{ peer, scenarios }: PeerGroup,
	{ isChosen, rounds }: { isChosen: (scenario: string) => boolean; rounds: number },
	results: Pick<GrowingResults, "roundsOf">,
): Turn[] {
	const missing = scenarios.filter(({ name }) => isChosen(name) && results.roundsOf(name) < rounds);
	const turns: Turn[] = [];
	for (let round = rounds === 1 ? 1 : 0; round <= rounds; round += 1) {
		for (const scenario of missing) {
			if (round > 0 && round <= results.roundsOf(scenario.name)) continue;
			turns.push({ peer, scenario, round });
		}
	}
	return turns;
}

/** For a turn that nothing is known of: with what is not timed, for two contenders or three. */
const TIMES_SECONDS = 4;
const SECONDS_BESIDE = 2;

/** What a turn that is not counted takes of one that is. */
const UNCOUNTED_TIMES = 1 / 2;

/** How long these turns take by what turns of the same scenarios took, in seconds. */
export function describeLeft(
	turns: readonly Turn[],
	took: ReadonlyMap<string, number>,
	seconds: number,
): string {
	const guess = seconds * TIMES_SECONDS + SECONDS_BESIDE;
	const left = turns.reduce((sum, { scenario, round }) => {
		const counted = took.get(scenario.name) ?? guess;
		return sum + (round > 0 ? counted : counted * UNCOUNTED_TIMES);
	}, 0);
	return left < 90 ? `about ${Math.ceil(left)} s left` : `about ${Math.round(left / 60)} min left`;
}
