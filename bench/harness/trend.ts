/** Whether something grew over the windows of a long run. */
import { slopeInterval } from "./interval.ts";
import type { Trend } from "./results.ts";
import { median } from "./roofline.ts";

/** The part of it by which something may grow over a run and still counts as steady. */
export const GROWTH_MAX = 0.1;

/**
 * Of values above 0 at equal distances in time, null where one is not known. The change is that of
 * the whole run, as a part of the median.
 */
export function trendOf(what: Trend["what"], values: readonly (number | null)[]): Trend {
	const known = values.flatMap((value, at) => (value === null ? [] : [[at, value] as const]));
	if (known.length === 0) return { what, median: null, change: null, verdict: "inconclusive" };
	const middle = median(known.map(([, value]) => value));
	const { slope, low, high } = slopeInterval(known);
	const whole = (values.length - 1) / middle;
	const change = { median: slope * whole, low: low * whole, high: high * whole };
	return { what, median: middle, change, verdict: judge(change) };
}

/** Only an interval that lies wholly on one side says anything; to shrink is no harm. */
function judge({ low, high }: { low: number; high: number }): Trend["verdict"] {
	if (low > GROWTH_MAX) return "grows";
	return high <= GROWTH_MAX ? "steady" : "inconclusive";
}
