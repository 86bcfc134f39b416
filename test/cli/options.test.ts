import { expect, test } from "vitest";

import { parseTime } from "../../src/cli/options.ts";
import { formatTable } from "../../src/cli/table.ts";
import { formatForTerminal } from "../../src/log.ts";
import { nearestName } from "../../src/nearest-name.ts";

test("times are milliseconds or ISO 8601", () => {
	expect(parseTime("1700000000000")).toBe(1_700_000_000_000);
	expect(parseTime("2026-01-31T12:00:00Z")).toBe(Date.UTC(2026, 0, 31, 12));
	expect(() => parseTime("31 January 2026")).toThrow(/Expected/);
	expect(() => parseTime("2026-13-01")).toThrow(/Expected/);
});

test("numbers stand to the right, text to the left", () => {
	expect(
		formatTable(
			["name", "count"],
			[
				["a", "5"],
				["longer", "123456"],
			],
		),
	).toBe(["name     count", "a            5", "longer  123456"].join("\n"));
});

test("the nearest name is near", () => {
	const known = ["retention.ms", "retention.bytes", "segment.ms"];
	expect(nearestName("retention.m", known)).toBe("retention.ms");
	expect(nearestName("Retention.sm", known)).toBe("retention.ms");
	expect(nearestName("banana", known)).toBeUndefined();
});

test("a log line for a terminal has its fields and its error behind the message", () => {
	const line = JSON.stringify({
		level: "warn",
		time: "2026-01-31T12:00:00.123Z",
		area: "groups",
		topic: "a",
		count: 2,
		err: { message: "bad", stack: "Error: bad\n    at x" },
		msg: "hello",
	});
	expect(formatForTerminal(line)).toBe(
		"12:00:00.123 warn  groups     hello  topic=a  count=2\nError: bad\n    at x\n",
	);
});
