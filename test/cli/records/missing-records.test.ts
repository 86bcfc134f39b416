import { describe, expect, test } from "vitest";

import { exitCodeOf } from "../../../src/cli/exit-code.ts";
import { missingRecords } from "../../../src/cli/records/missing-records.ts";
import type { Gap } from "../../../src/client/index.ts";
import { MillraceError } from "../../../src/errors.ts";

function gap(code: "DAMAGED_RANGE" | "OFFSET_OUT_OF_RANGE", from: number, to: number): Gap {
	return { topic: "t", partition: 0, from, to, error: new MillraceError(code) };
}

describe("records that could not be had", () => {
	test("are no damage where they were deleted", () => {
		const gaps = [gap("OFFSET_OUT_OF_RANGE", 2, 5), gap("OFFSET_OUT_OF_RANGE", 9, 10)];
		const error = missingRecords(gaps);
		expect(error.code).toBe("OFFSET_OUT_OF_RANGE");
		expect(error.message).toContain("was gone: t-0 2 to 4, t-0 9 to 9");
		expect(exitCodeOf(error)).toBe(1);
	});

	test("are damage where some are, and the cause is that of the damage", () => {
		const gaps = [gap("OFFSET_OUT_OF_RANGE", 2, 5), gap("DAMAGED_RANGE", 9, 10)];
		const error = missingRecords(gaps);
		expect(error.code).toBe("DATA_DAMAGED");
		expect(error.cause).toBe(gaps[1]?.error);
		expect(error.message).toContain("were skipped: t-0 2 to 4, t-0 9 to 9");
		expect(exitCodeOf(error)).toBe(4);
	});
});
