import { availableParallelism } from "node:os";
import { defineConfig } from "vitest/config";
import { BaseSequencer, type TestSpecification } from "vitest/node";

/** What measures is disturbed by others: nothing else runs beside these. */
const MEASURED = [
	// How much memory a broker takes that is to keep up with a thousand subscribers.
	"test/promises/idle-subscribers-cost-little.test.ts",
];

/** Begins with what takes longest, so that no worker is alone with it in the end. */
class LongestFirst extends BaseSequencer {
	override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
		const sorted = await super.sort(files);
		const isLong = ({ moduleId }: TestSpecification) =>
			/\/test\/(promises|integration)\//.test(moduleId);
		return [...sorted.filter(isLong), ...sorted.filter((file) => !isLong(file))];
	}
}

export default defineConfig({
	test: {
		sequence: { sequencer: LongestFirst },
		reporters: ["default", "./test/reporter.ts"],
		// For what hangs. Others may need the machine, too, which makes all of it many times slower.
		testTimeout: 600_000,
		hookTimeout: 600_000,
		expect: { poll: { timeout: 180_000 } },
		projects: [
			{
				extends: true,
				test: {
					name: "parts",
					include: ["test/**/*.test.ts"],
					exclude: MEASURED,
					// A worker loads a module once for all of its files, which is a tenth of a run.
					isolate: false,
					// More than cores where these are few: what waits for a disk or a timer leaves room.
					maxWorkers: Math.max(4, availableParallelism() - 1),
					sequence: { groupOrder: 0 },
				},
			},
			{
				extends: true,
				test: {
					name: "measured",
					include: MEASURED,
					maxWorkers: 1,
					sequence: { groupOrder: 1 },
				},
			},
		],
	},
});
