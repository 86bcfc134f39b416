import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

test("every micro benchmark runs", () => {
	const program = fileURLToPath(new URL("../../dist/bench/micro/main.js", import.meta.url));
	const ended = spawnSync(process.execPath, [program, "--quick", "--json"], { encoding: "utf8" });
	expect(ended.stderr).toBe("");
	const measured = JSON.parse(ended.stdout) as { name: string; perSecond: number }[];
	expect(measured.map(({ name }) => name)).toContain("core: check a ready batch and append it");
	for (const { name, perSecond } of measured) expect(perSecond, name).toBeGreaterThan(0);
});
