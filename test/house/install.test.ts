import { spawnSync } from "node:child_process";
import { expect, test } from "vitest";

test("npm install that cannot build the core says what is missing and what to do", () => {
	const result = spawnSync(process.execPath, ["native/install.mjs"], {
		encoding: "utf8",
		env: { PATH: "/nonexistent" },
	});
	expect(result.status).toBe(1);
	expect(result.stderr).toContain(`${process.platform} ${process.arch}`);
	expect(result.stderr).toContain(
		`Node ${process.versions.node} (ABI ${process.versions.modules})`,
	);
	expect(result.stderr).toMatch(/prebuilt +@millrace\/core-\S+ is not installed/);
	expect(result.stderr).toMatch(/missing +a working cargo/);
	expect(result.stderr).toMatch(/remedy +install Rust \d/);
});
