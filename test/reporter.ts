/**
 * Leaves the counts and the reasons of skipped tests where test/run.mjs finds them, so that `npm
 * test` can say at its end what it left out. Without MILLRACE_TEST_SUMMARY it does nothing.
 */
import { writeFileSync } from "node:fs";
import type { Reporter, SerializedError, TestModule } from "vitest/node";

/** What test/run.mjs reads. */
interface Summary {
	passed: number;
	failed: number;
	/** Reason to number of tests. */
	skipped: Record<string, number>;
}

export default class SummaryReporter implements Reporter {
	onTestRunEnd(modules: readonly TestModule[], unhandled: readonly SerializedError[]): void {
		const file = process.env.MILLRACE_TEST_SUMMARY;
		if (file === undefined) return;
		const summary: Summary = { passed: 0, failed: unhandled.length, skipped: {} };
		for (const module of modules) {
			// A file that cannot be loaded has errors and no tests.
			summary.failed += module.errors().length;
			for (const test of module.children.allTests()) {
				const result = test.result();
				if (result.state === "passed") summary.passed += 1;
				if (result.state === "failed") summary.failed += 1;
				if (result.state !== "skipped") continue;
				const reason = result.note ?? `${module.relativeModuleId}: skipped without a reason`;
				summary.skipped[reason] = (summary.skipped[reason] ?? 0) + 1;
			}
		}
		writeFileSync(file, JSON.stringify(summary));
	}
}
