/**
 * Leaves the counts and the reasons of skipped tests where test/run.mjs finds them, so that `npm
 * test` can say at its end what it left out. Without MILLRACE_TEST_SUMMARY it does nothing.
 */
import { writeFileSync } from "node:fs";
import { basename } from "node:path";
import type { Reporter, SerializedError, TestModule } from "vitest/node";

interface Failure {
	/** Which failed, where, and the first line of why. */
	told: string;
	/** How vitest runs it again; null for what belongs to no test. */
	again: { file: string; name: string } | null;
}

/** What test/run.mjs reads. */
interface Summary {
	passed: number;
	failed: number;
	failures: Failure[];
	/** Reason to number of tests. */
	skipped: Record<string, number>;
}

export default class SummaryReporter implements Reporter {
	onTestRunEnd(modules: readonly TestModule[], unhandled: readonly SerializedError[]): void {
		const file = process.env.MILLRACE_TEST_SUMMARY;
		if (file === undefined) return;
		const summary: Summary = { passed: 0, failed: 0, failures: [], skipped: {} };
		const fail = (
			name: string,
			errors: readonly SerializedError[],
			again: Failure["again"] = null,
		): void => {
			summary.failed += 1;
			const [error] = errors;
			const place = (error?.stacks ?? []).map(({ file, line }) => `${basename(file)}:${line}`);
			const where = place.length === 0 ? "" : ` (${place.reverse().join(" > ")})`;
			const why = error?.message.split("\n", 1)[0] ?? "no error";
			summary.failures.push({ told: `${name}${where}: ${why}`, again });
		};
		for (const error of unhandled) fail("outside of any test", [error]);
		for (const module of modules) {
			// A file that cannot be loaded has errors and no tests.
			for (const error of module.errors()) fail(module.relativeModuleId, [error]);
			for (const test of module.children.allTests()) {
				const result = test.result();
				if (result.state === "passed") summary.passed += 1;
				if (result.state === "failed") {
					const file = module.relativeModuleId;
					fail(`${file} > ${test.fullName}`, result.errors, { file, name: test.fullName });
				}
				if (result.state !== "skipped") continue;
				const reason = result.note ?? `${module.relativeModuleId}: skipped without a reason`;
				summary.skipped[reason] = (summary.skipped[reason] ?? 0) + 1;
			}
		}
		writeFileSync(file, JSON.stringify(summary));
	}
}
