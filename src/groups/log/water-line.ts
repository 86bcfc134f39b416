/** How much everyone carries beside what is to be divided, and has of it already. */
export interface Vessel {
	readonly fixed: number;
	readonly held: number;
}

/**
 * Divides `total` pieces so that what everyone carries in the end is as level as it can be, the way
 * water poured into vessels of different heights finds its level. Pieces that are left over go to
 * those who have more pieces already, so that fewer change hands. Answers a share for each, in
 * order; there must be someone to take any.
 */
export function waterLine(vessels: readonly Vessel[], total: number): number[] {
	const heights = vessels.map(({ fixed }) => fixed).sort((left, right) => left - right);
	let under = 0;
	let poured = 0;
	let line = heights[0] ?? 0;
	// How high it rises before the next vessel's bottom gets wet.
	while (under < heights.length) {
		const height = heights[under] as number;
		const needed = (height - line) * under;
		if (poured + needed > total) break;
		poured += needed;
		line = height;
		under++;
	}
	line += Math.floor((total - poured) / Math.max(under, 1));
	const shares = vessels.map(({ fixed }) => Math.max(line - fixed, 0));
	let left = total - shares.reduce((sum, share) => sum + share, 0);
	// Only who is at the line may go one above it.
	const byGain = vessels
		.map(({ fixed, held }, index) => ({ index, fixed, gain: held - (shares[index] as number) }))
		.filter(({ fixed }) => fixed <= line)
		.sort((one, other) => other.gain - one.gain);
	for (const { index } of byGain) {
		if (left === 0) break;
		shares[index] = (shares[index] as number) + 1;
		left--;
	}
	return shares;
}
