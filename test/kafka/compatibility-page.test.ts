/**
 * docs/kafka-compatibility.md names what is served and how it differs: both are taken from where
 * they are defined. MILLRACE_UPDATE_DOCUMENTS=1 writes them anew.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { expect, test } from "vitest";

import { SERVED_APIS } from "../../src/kafka/handlers/table.ts";
import type { KnownDifference } from "../integration/differential/scenario.ts";

const page = new URL("../../docs/kafka-compatibility.md", import.meta.url);
const differencesFile = new URL("../integration/differential/differences.json", import.meta.url);

/** Markdown that stands between the marks of its name. */
function generated(): Record<string, string[]> {
	const rows = [...SERVED_APIS.values()].map(({ facts }) => {
		const { key, name, oldest, latest, advertisedFrom } = facts;
		const offered = advertisedFrom < oldest ? `, offered from ${advertisedFrom} on` : "";
		return `| ${key} | ${name} | ${oldest}-${latest}${offered} |`;
	});
	const known: readonly KnownDifference[] = JSON.parse(readFileSync(differencesFile, "utf8"));
	const differences = known.map(({ api, scenario, request, path, reason }) => {
		const where = [scenario, request]
			.filter((part) => part !== undefined)
			.map((part) => `, ${part}`)
			.join("");
		return `- ${api}${where}, \`${path === "" ? "the answer" : path}\`: ${reason}`;
	});
	return { apis: ["| key | API | versions |", "|---|---|---|", ...rows], differences };
}

test("docs/kafka-compatibility.md tells of the APIs and differences that there are", () => {
	const before = readFileSync(page, "utf8");
	const after = Object.entries(generated()).reduce(
		(text, [name, lines]) =>
			text.replace(
				new RegExp(`(<!-- generated: ${name} -->\n)[^]*?(<!-- end -->)`),
				(_, start: string, end: string) => `${start}${lines.join("\n")}\n${end}`,
			),
		before,
	);
	if (process.env.MILLRACE_UPDATE_DOCUMENTS === "1") writeFileSync(page, after);
	else expect(before).toBe(after);
});
