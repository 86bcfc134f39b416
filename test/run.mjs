// `npm test`: brings both builds up to date, runs the TypeScript and the Rust tests, then says
// which optional parts were skipped and why and which tests failed, and ends with one plain line:
// "N passed, N failed".
// Arguments go to vitest, and the Rust tests are then left out: `npm test -- test/topics`.
// With MILLRACE_TEST_NOTHING_SKIPPED=1 a skipped test is a failure. With MILLRACE_TEST_AGAIN=1 some
// TypeScript tests that failed are run again, each by itself: who passes then is no failure, but is
// named as unsteady. That is for machines that others use, too.
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const rootDirectory = fileURLToPath(new URL("..", import.meta.url));
const require = createRequire(import.meta.url);
const vitestArguments = process.argv.slice(2);
const isLong = process.env.MILLRACE_TEST_LONG === "1";

/**
 * Runs a command in the repository and resolves with its exit status; output passes unless `onLine`
 * takes all of it, or nobody wants it (`isSilent`).
 */
function run(command, commandArguments, { env = {}, onLine, isSilent = false } = {}) {
	const child = spawn(command, commandArguments, {
		cwd: rootDirectory,
		env: { ...process.env, ...env },
		stdio: isSilent ? "ignore" : ["ignore", ...Array(2).fill(onLine ? "pipe" : "inherit")],
	});
	for (const input of onLine ? [child.stdout, child.stderr] : []) {
		createInterface({ input }).on("line", onLine);
	}
	return new Promise((resolve, reject) => {
		child.on("error", reject);
		child.on("close", (status, signal) => resolve(status ?? signal));
	});
}

const binOf = (packageName, name = packageName) => {
	const packageFile = require.resolve(`${packageName}/package.json`);
	return join(packageFile, "..", JSON.parse(readFileSync(packageFile, "utf8")).bin[name]);
};

async function build() {
	if ((await run(process.execPath, ["native/build.mjs"])) !== 0) return false;
	return (await run("npm", ["run", "--silent", "compile"])) === 0;
}

/** A run that ended badly although no test of it failed is a failure too. */
function withStatus(summary, status, program) {
	if (status === 0 || summary.failed > 0) return summary;
	return { ...summary, failed: 1, failures: [failureOf(`${program} ended with status ${status}`)] };
}

const failureOf = (told) => ({ told, again: null });

/**
 * Each returns { passed, failed, failures: [{ told, again }], skipped: { reason: count } }; `again`
 * is the file and the name of a test that can be run by itself, or null.
 */
async function testTypeScript(node = process.execPath, files = vitestArguments) {
	const directory = mkdtempSync(join(tmpdir(), "millrace-test-"));
	const summaryFile = join(directory, "summary.json");
	try {
		const status = await run(node, [binOf("vitest"), "run", ...files], {
			env: { MILLRACE_TEST_SUMMARY: summaryFile },
		});
		const summary = existsSync(summaryFile)
			? JSON.parse(readFileSync(summaryFile, "utf8"))
			: { passed: 0, failed: 0, failures: [], skipped: {} };
		return withStatus(summary, status, "vitest");
	} finally {
		rmSync(directory, { recursive: true });
	}
}

/** Where more fail than that, it is not by what else the machine does. */
const AGAIN_MAX = 3;
const runsAgain = process.env.MILLRACE_TEST_AGAIN === "1";
/** What was told of tests that passed when they were run again. */
const unsteady = [];

/** Runs what has failed of a run again, test by test. Resolves with its summary as it is then. */
async function steadied(summary, node = process.execPath) {
	if (!runsAgain || summary.failed > AGAIN_MAX) return summary;
	const failures = [];
	for (const failure of summary.failures) {
		const { told, again } = failure;
		if (again === null) {
			failures.push(failure);
			continue;
		}
		process.stdout.write(`\nonce more, by itself: ${told}\n`);
		const name = again.name.replaceAll(/[\\^$.*+?()[\]{}|]/g, "\\$&").replaceAll(" > ", "( >)? ");
		const { passed, failed } = await testTypeScript(node, [again.file, "-t", `^${name}$`]);
		if (passed === 1 && failed === 0) unsteady.push(told);
		else failures.push(failure);
	}
	const mended = summary.failures.length - failures.length;
	const { passed, failed } = summary;
	return { ...summary, passed: passed + mended, failed: failed - mended, failures };
}

/** What depends on the version of Node; .ci/run has it tested on every one, below .ci/tools. */
const DEPENDS_ON_NODE = ["test/client", "test/index.test.ts", "test/storage", "test/websocket"];

async function testOtherNodes() {
	const summaries = [];
	for (const major of [20, 22, 24]) {
		if (Number.parseInt(process.versions.node, 10) === major) continue;
		const platform = `${process.platform}-${process.arch}`;
		const node = join(
			rootDirectory,
			`.ci/tools/node-${major}/node_modules/node-${platform}/bin/node`,
		);
		if (!existsSync(node)) continue;
		process.stdout.write(`\nNode ${major}\n`);
		const summary = await steadied(await testTypeScript(node, DEPENDS_ON_NODE), node);
		// Where uWebSockets.js has no binary its tests are left out: that is what is supported there.
		for (const [reason, count] of Object.entries(summary.skipped)) {
			process.stdout.write(`  Node ${major}: ${count} tests left out: ${reason}\n`);
		}
		const failures = summary.failures.map(({ told }) => failureOf(`Node ${major}: ${told}`));
		summaries.push({ ...summary, failures, skipped: {} });
	}
	return summaries;
}

/**
 * The simulated machines of the long run: two to three minutes of CPU. The same in every run, so
 * that a change is judged by itself; MILLRACE_SIMULATION_FIRST=n looks at others.
 */
const SIMULATION_LONG = {
	MILLRACE_SIMULATION_FIRST: process.env.MILLRACE_SIMULATION_FIRST ?? "31000000",
	MILLRACE_SIMULATION_RUNS: "4000",
};

// The core alone: the binding holds no logic, and its functions need a Node around them.
const CARGO_TEST = [
	...["cargo", "test", "--manifest-path=native/Cargo.toml", "--locked"],
	...["--profile=release-tests", "--package=millrace-core", "--no-fail-fast"],
];

/**
 * Compiles the Rust tests with what the processors have left, then runs them: tests of TypeScript
 * wait a lot. Resolves with what the run told, too: it is shown when it disturbs no other output.
 */
async function testRust() {
	// What does not compile is told by the run.
	await run("nice", ["-n", "19", ...CARGO_TEST, "--no-run", "--quiet"], { isSilent: true });
	const summary = { passed: 0, failed: 0, failures: [], skipped: {} };
	const told = [];
	const [cargo, ...cargoArguments] = CARGO_TEST;
	const status = await run(cargo, cargoArguments, {
		env: {
			// Random values are the same in every run: nothing fails by chance.
			PROPTEST_RNG_SEED: process.env.SEED ?? "1",
			...(isLong ? SIMULATION_LONG : {}),
		},
		onLine(line) {
			told.push(line);
			const result = /^test result: .* (\d+) passed; (\d+) failed;/.exec(line);
			if (result) {
				summary.passed += Number(result[1]);
				summary.failed += Number(result[2]);
			}
			const failed = /^test (.*) \.\.\. FAILED$/.exec(line);
			if (failed) summary.failures.push(failureOf(failed[1]));
			const ignored = /^test (.*) \.\.\. ignored(?:, (.*))?$/.exec(line);
			if (!ignored) return;
			const reason = ignored[2] ?? `${ignored[1]}: ignored without a reason`;
			summary.skipped[reason] = (summary.skipped[reason] ?? 0) + 1;
		},
	});
	// It did not compile, or a test process died.
	return { told, ...withStatus(summary, status, "cargo test") };
}

if (!(await build())) {
	process.stdout.write("the build failed\n0 passed, 1 failed\n");
	process.exit(1);
}
const summaries = [];
if (vitestArguments.length > 0) {
	summaries.push(await steadied(await testTypeScript()));
} else {
	const testsOfRust = testRust();
	const ofParts = await testTypeScript(process.execPath, ["--project=parts"]);
	const { told, ...summary } = await testsOfRust;
	process.stdout.write(`${told.join("\n")}\n`);
	summaries.push(await steadied(ofParts), summary);
	summaries.push(await steadied(await testTypeScript(process.execPath, ["--project=measured"])));
	if (isLong) summaries.push(...(await testOtherNodes()));
}

const total = (field) => summaries.reduce((sum, summary) => sum + summary[field], 0);
/** How many tests, by the reason. */
const skipped = new Map();
for (const [reason, count] of summaries.flatMap((summary) => Object.entries(summary.skipped))) {
	skipped.set(reason, (skipped.get(reason) ?? 0) + count);
}
process.stdout.write(skipped.size === 0 ? "\nskipped: nothing\n" : "\nskipped:\n");
for (const [reason, count] of skipped) {
	process.stdout.write(`  ${count} ${count === 1 ? "test" : "tests"}: ${reason}\n`);
}
const failures = summaries.flatMap((summary) => summary.failures);
if (failures.length > 0) process.stdout.write("\nfailed:\n");
for (const { told } of failures) process.stdout.write(`  ${told}\n`);
if (unsteady.length > 0)
	process.stdout.write("\nunsteady: passed only when run again, by itself:\n");
for (const told of unsteady) process.stdout.write(`  ${told}\n`);
const skippingFails = process.env.MILLRACE_TEST_NOTHING_SKIPPED === "1" && skipped.size > 0;
if (skippingFails) process.stdout.write("nothing may be skipped here\n");
process.stdout.write(`${total("passed")} passed, ${total("failed")} failed\n`);
process.exit(total("failed") > 0 || skippingFails ? 1 : 0);
