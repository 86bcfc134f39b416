/**
 * What some tests need and a machine may lack. A test that lacks something skips itself with the
 * reason, which `npm test` repeats at its end:
 *
 *     const node = nodeBinary(24) ?? context.skip(missingNode(24));
 *
 * `.ci/run` installs all of it below .ci/tools, where it is found from then on.
 */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** The majors of Node that Millrace supports. */
export const NODE_MAJORS = [20, 22, 24] as const;

/**
 * A `node` of this major: the one that runs the tests, or one below .ci/tools; null where there is
 * none.
 */
export function nodeBinary(major: number): string | null {
	if (Number.parseInt(process.versions.node, 10) === major) return process.execPath;
	const platform = `${process.platform}-${process.arch}`;
	const installed = toolFile(`node-${major}/node_modules/node-${platform}/bin/node`);
	return existsSync(installed) ? installed : null;
}

/** Why a test for this major of Node is skipped. */
export function missingNode(major: number): string {
	return `Node ${major} is not on this machine (.ci/run installs it)`;
}

/** A Python 3 that can import all these modules; null where there is none. */
export function pythonBinary(...modules: string[]): string | null {
	for (const candidate of [toolFile("python/bin/python"), "python3"]) {
		const statement = `import sys${modules.map((module) => `, ${module}`).join("")}`;
		if (spawnSync(candidate, ["-c", statement]).status === 0) return candidate;
	}
	return null;
}

/** Why a test that needs Python with these modules is skipped. */
export function missingPython(...modules: string[]): string {
	const what = modules.length === 0 ? "" : ` with ${modules.join(" and ")}`;
	return `there is no Python 3${what} (.ci/run installs it)`;
}

/** Whether the machine has openssl, which makes the certificates of tests. */
export function hasOpenssl(): boolean {
	return spawnSync("openssl", ["version"]).status === 0;
}

/** Why a test that needs certificates is skipped. */
export const MISSING_OPENSSL = "openssl is not on this machine";

/** Prometheus' promtool, where the machine has it. */
export function promtoolBinary(): string | null {
	for (const candidate of [toolFile("prometheus/usr/bin/promtool"), "promtool"]) {
		if (spawnSync(candidate, ["--version"]).status === 0) return candidate;
	}
	return null;
}

/** Why a test that needs promtool is skipped. */
export const MISSING_PROMTOOL = "promtool is not on this machine (.ci/run installs it)";

/** Prometheus itself, where the machine has it. */
export function prometheusBinary(): string | null {
	for (const candidate of [toolFile("prometheus/usr/bin/prometheus"), "prometheus"]) {
		if (spawnSync(candidate, ["--version"]).status === 0) return candidate;
	}
	return null;
}

/** Why a test that needs Prometheus is skipped. */
export const MISSING_PROMETHEUS = "prometheus is not on this machine (.ci/run installs it)";

/** kcat, where the machine has it. */
export function kcatBinary(): string | null {
	return spawnSync("kcat", ["-V"]).status === 0 ? "kcat" : null;
}

/** For its `-m`: how long it waits until it knows where things are; 5 s by default. */
export const KCAT_SECONDS_MAX = "60";

/** Why a test that needs kcat is skipped. */
export const MISSING_KCAT = "kcat is not on this machine (.ci/run installs it)";

const KAFKA_JAVA_OPTIONS = [
	"-Xmx512m",
	// For programs that run a second: otherwise most of it is the compiler's.
	"-XX:+UseSerialGC",
	"-XX:TieredStopAtLevel=1",
	// That an archive of classes was made for jars elsewhere would be told among the answers.
	"-Xlog:disable",
	// Without a configuration the logger writes to stdout, where the answers are.
	"-Dorg.apache.logging.log4j.level=OFF",
];

/**
 * A `java` command line with the class path of Apache Kafka, its broker, clients and tools; null
 * where there is no Java or the jars are not below .ci/tools. What follows is a class and its
 * arguments.
 */
export function kafkaJava(...classPath: string[]): string[] | null {
	const jars = toolFile("kafka/lib");
	if (!existsSync(join(jars, ".complete")) || spawnSync("java", ["-version"]).status !== 0) {
		return null;
	}
	return [
		"java",
		...KAFKA_JAVA_OPTIONS,
		`-XX:SharedArchiveFile=${toolFile("kafka/classes.jsa")}`,
		"-cp",
		[...classPath, join(jars, "*")].join(":"),
	];
}

/** Why a test that needs Java with Apache Kafka is skipped. */
export const MISSING_KAFKA_JAVA = "there is no Java with Apache Kafka (.ci/run installs it)";

/**
 * The path below .ci/tools of what was built from a directory of sources below test/; null where it
 * was not built, or from other sources than are there now.
 */
export function builtProgram(path: string, sourceDirectory: string): string | null {
	const built = toolFile(path);
	if (!existsSync(`${built}.sources`)) return null;
	const builtFrom = readFileSync(`${built}.sources`, "utf8").trim();
	const directory = fileURLToPath(new URL(sourceDirectory, import.meta.url));
	const files = readdirSync(directory, { recursive: true, encoding: "utf8" })
		.map((name) => join(directory, name))
		.filter((file) => statSync(file).isFile())
		.sort();
	const hash = createHash("sha256");
	for (const file of files) hash.update(readFileSync(file));
	return hash.digest("hex") === builtFrom ? built : null;
}

/** Why a test that needs a program built from a directory of sources is skipped. */
export function missingProgram(sourceDirectory: string): string {
	return `test/${sourceDirectory} is not built, or has changed since (.ci/run builds it)`;
}

/** A browser of the Chromium family; null where there is none. */
export function chromiumBinary(): string | null {
	for (const candidate of ["chromium", "chromium-browser", "google-chrome"]) {
		if (spawnSync(candidate, ["--version"]).status === 0) return candidate;
	}
	return null;
}

/** Why a test that needs a browser is skipped. */
export function missingChromium(): string {
	return "there is no Chromium or Chrome on this machine (.ci/run installs it)";
}

/** Whether to run what takes too long for every `npm test`: MILLRACE_TEST_LONG=1 asks for it. */
export const RUNS_LONG_TESTS = process.env.MILLRACE_TEST_LONG === "1";

/** Why a long test is skipped. */
export const TOO_LONG = "it takes long (MILLRACE_TEST_LONG=1, as .ci/run has it, runs it)";

function toolFile(path: string): string {
	return fileURLToPath(new URL(`../.ci/tools/${path}`, import.meta.url));
}
