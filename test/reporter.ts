/**
 * Leaves the counts and the reasons of skipped tests where test/run.mjs finds them, so that `npm
 * test` can say at its end what it left out. Without MILLRACE_TEST_SUMMARY it does nothing.
 */
import { writeFileSync } from "node:fs";
import { basename } from "node:path";
import type { Reporter, SerializedError, TestModule } from "vitest/node";

/** What test/run.mjs reads. */
interface Summary {
	passed: number;
	failed: number;
	/** Which failed, where, and the first line of why. */
	failures: string[];
	/** Reason to number of tests. */
	skipped: Record<string, number>;
}

export default class SummaryReporter implements Reporter {
	onTestRunEnd(modules: readonly TestModule[], unhandled: readonly SerializedError[]): void {
		const file = process.env.MILLRACE_TEST_SUMMARY;
		if (file === undefined) return;
		const summary: Summary = { passed: 0, failed: 0, failures: [], skipped: {} };
		const fail = (name: string, errors: readonly SerializedError[]): void => {
			summary.failed += 1;
			const [error] = errors;
			const place = (error?.stacks ?? []).map(({ file, line }) => `${basename(file)}:${line}`);
			const where = place.length === 0 ? "" : ` (${place.reverse().join(" > ")})`;
			summary.failures.push(`${name}${where}: ${error?.message.split("\n", 1)[0] ?? "no error"}`);
		};
		for (const error of unhandled) fail("outside of any test", [error]);
		for (const module of modules) {
			// A file that cannot be loaded has errors and no tests.
			for (const error of module.errors()) fail(module.relativeModuleId, [error]);
			for (const test of module.children.allTests()) {
				const result = test.result();
				if (result.state === "passed") summary.passed += 1;
				if (result.state === "failed") {
					fail(`${module.relativeModuleId} > ${test.fullName}`, result.errors);
				}
				if (result.state !== "skipped") continue;
				const reason = result.note ?? `${module.relativeModuleId}: skipped without a reason`;
				summary.skipped[reason] = (summary.skipped[reason] ?? 0) + 1;
			}
		}
		writeFileSync(file, JSON.stringify(summary));
	}
}
