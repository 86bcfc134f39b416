/**
 * Longer names are no slips of the fingers, and comparing them would take a caller's word for the
 * cost.
 */
const TYPED_CHARACTERS_MAX = 64;

/**
 * The known name that a mistyped one most likely meant, or undefined when none is near: at most one
 * edit for every three characters (insert, delete, replace, or swap two neighbours).
 */
export function nearestName(typed: string, known: Iterable<string>): string | undefined {
	if (typed.length > TYPED_CHARACTERS_MAX) return undefined;
	const wanted = typed.toLowerCase();
	let best: string | undefined;
	let bestDistance = Math.floor(Math.max(wanted.length, 3) / 3) + 1;
	for (const name of known) {
		if (Math.abs(name.length - wanted.length) >= bestDistance) continue;
		const distance = editDistance(wanted, name.toLowerCase());
		if (distance < bestDistance) {
			best = name;
			bestDistance = distance;
		}
	}
	return best;
}

/** The same as the end of a sentence: `; did you mean X?`, or nothing. */
export function didYouMean(typed: string, known: Iterable<string>): string {
	const name = nearestName(typed, known);
	return name === undefined ? "" : `; did you mean ${name}?`;
}

/** Edits between two strings (optimal string alignment), in three rolling rows. */
function editDistance(from: string, to: string): number {
	let beforePrevious: number[] = [];
	let previous = Array.from({ length: to.length + 1 }, (_, column) => column);
	for (let row = 1; row <= from.length; row++) {
		const current = [row];
		for (let column = 1; column <= to.length; column++) {
			const same = from[row - 1] === to[column - 1];
			let edits = Math.min(
				(previous[column] ?? 0) + 1,
				(current[column - 1] ?? 0) + 1,
				(previous[column - 1] ?? 0) + (same ? 0 : 1),
			);
			const swapped = from[row - 1] === to[column - 2] && from[row - 2] === to[column - 1];
			if (row > 1 && column > 1 && swapped) {
				edits = Math.min(edits, (beforePrevious[column - 2] ?? 0) + 1);
			}
			current.push(edits);
		}
		beforePrevious = previous;
		previous = current;
	}
	return previous[to.length] ?? 0;
}
