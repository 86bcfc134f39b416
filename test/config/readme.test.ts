/** The table of options in the README, and every configuration file that a page shows. */
import { readdirSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";

import { parseConfigFile } from "../../src/config/file.ts";
import { resolveConfig } from "../../src/config/load.ts";
import { ALL_OPTIONS } from "../../src/config/options.ts";

test("the README lists the options that most brokers need with their defaults", () => {
	const text = readFileSync(new URL("../../README.md", import.meta.url), "utf8");
	const section = text.slice(text.indexOf("## Running a broker"), text.indexOf("### Topic conf"));
	const rows = [...section.matchAll(/^\| `([^`]+)` \| (?:`([^`]*)`)? ?\|/gm)];
	const listed = rows.map(([, name, value]) => [name, value ?? ""]);
	const defaults = new Map(ALL_OPTIONS.map((option) => [option.name, option.default]));
	expect(listed.length).toBeGreaterThan(5);
	expect(listed).toEqual(listed.map(([name]) => [name, defaults.get(name as string)]));
});

test("every configuration file that a page shows is one", () => {
	const root = new URL("../../", import.meta.url);
	const pages = readdirSync(new URL("docs/", root)).filter((name) => name.endsWith(".md"));
	let shown = 0;
	for (const page of ["README.md", ...pages.map((name) => `docs/${name}`)]) {
		const text = readFileSync(new URL(page, root), "utf8");
		expect(text, page).not.toContain("```properties");
		for (const [, snippet] of text.matchAll(/```yaml\n([\s\S]*?)```/g)) {
			const parsed = parseConfigFile(snippet as string, page);
			expect(parsed.entries.size).toBeGreaterThan(0);
			resolveConfig({}, parsed);
			shown++;
		}
	}
	expect(shown).toBeGreaterThan(1);
});
