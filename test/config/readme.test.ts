/** The table of options in the README. */
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { OPTIONS } from "../../src/config.ts";

test("the README lists every option with its default", () => {
	const text = readFileSync(new URL("../../README.md", import.meta.url), "utf8");
	const section = text.slice(text.indexOf("## Running a broker"), text.indexOf("### Topic conf"));
	const rows = [...section.matchAll(/^\| `([^`]+)` \| (?:`([^`]*)`)? ?\|/gm)];
	const listed = rows.map(([, name, value]) => [name, value ?? ""]);
	const options = Object.values(OPTIONS).map((option) => [option.name, option.default]);
	expect(listed.sort()).toEqual(options.sort());
});
