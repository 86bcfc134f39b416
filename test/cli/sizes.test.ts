import { expect, test } from "vitest";
import { formatBytes } from "../../src/cli/sizes.ts";
import { formatTable } from "../../src/cli/table.ts";

test.each([
	[0, "0 B"],
	[1_023, "1023 B"],
	[1_024, "1 KiB"],
	[1_536, "1.5 KiB"],
	[1_048_575, "1 MiB"],
	[155_189_248, "148 MiB"],
	[1_073_741_824, "1 GiB"],
	[2 ** 50, "1024 TiB"],
])("%d bytes are %s", (bytes, text) => {
	expect(formatBytes(bytes)).toBe(text);
});

test("columns of numbers and sizes stand to the right, also where some are not known", () => {
	const rows = [
		["orders", "7", "1.5 KiB"],
		["clicks", "-", "16 MiB"],
	];
	expect(formatTable(["topic", "lag", "on disk"], rows).split("\n")).toEqual([
		"topic   lag  on disk",
		"orders    7  1.5 KiB",
		"clicks    -   16 MiB",
	]);
});
