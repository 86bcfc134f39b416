/** What `millrace consume` says at its end of ranges of records that could not be had. */
import type { Gap } from "../../client/index.ts";
import { MillraceError } from "../../errors.ts";

const isGone = ({ error }: Gap) => error.code === "OFFSET_OUT_OF_RANGE";

/**
 * OFFSET_OUT_OF_RANGE where all that is missing went in good order, by retention or because
 * somebody deleted it; DATA_DAMAGED where something of it is damaged.
 */
export function missingRecords(gaps: readonly Gap[]): MillraceError {
	const list = gaps.map((gap) => `${gap.topic}-${gap.partition} ${gap.from} to ${gap.to - 1}`);
	const ranges = list.join(", ");
	const damaged = gaps.find((gap) => !isGone(gap));
	if (damaged === undefined) {
		const particular = `records were passed over, as the next one to read was gone: ${ranges}`;
		return new MillraceError("OFFSET_OUT_OF_RANGE", particular, { cause: gaps[0]?.error });
	}
	return new MillraceError("DATA_DAMAGED", `records were skipped: ${ranges}`, {
		cause: damaged.error,
	});
}
