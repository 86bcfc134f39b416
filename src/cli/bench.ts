/** `millrace bench`: the harness with its progress and its results on a terminal. */
import { Command, InvalidArgumentError, Option } from "commander";
import { PROFILES, type ProfileName } from "#dist/bench/harness/profiles.js";
import { describeResults } from "#dist/bench/harness/report.js";
import { runBench } from "#dist/bench/harness/run.js";
import { SCENARIOS } from "#dist/bench/harness/scenarios/index.js";
import { jsonOption } from "./options.ts";

const SECONDS_MAX = 3_600;

interface BenchOptions {
	readonly json?: boolean;
	readonly profile: ProfileName;
	readonly seconds?: number;
	readonly scenario?: ReadonlySet<string>;
	readonly directory: string;
}

export function benchCommand(): Command {
	return new Command("bench")
		.description("measure this machine with a broker of its own, beside what the hardware can do")
		.addOption(
			new Option("--profile <profile>", "quick: seconds, only to see it work; ci: within a minute")
				.choices(Object.keys(PROFILES))
				.default("standard"),
		)
		.option("--seconds <n>", "length of each timed part (default: the profile's)", parseSeconds)
		.addOption(
			new Option(
				"--scenario <name>",
				`only this one; repeat for more: ${names().join(", ")}`,
			).argParser(collectScenario),
		)
		.option("--directory <dir>", "where data is written and removed again", ".")
		.addOption(jsonOption())
		.action(bench);
}

async function bench(options: BenchOptions): Promise<void> {
	const { json, seconds, scenario: chosen } = options;
	const profile = PROFILES[options.profile];
	const results = await runBench({
		profile: seconds === undefined ? profile : { ...profile, seconds },
		scenarios: SCENARIOS.filter(({ name }) => chosen?.has(name) ?? true),
		directory: options.directory,
		command: ["millrace", ...process.argv.slice(2)].join(" "),
		onProgress: showStep,
	});
	showStep("");
	process.stdout.write(json === true ? `${JSON.stringify(results)}\n` : describeResults(results));
}

/** One line on a terminal, taken back by the next; nothing elsewhere. */
function showStep(step: string): void {
	if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${step}`);
}

function names(): string[] {
	return SCENARIOS.map(({ name }) => name);
}

function collectScenario(name: string, before: ReadonlySet<string> | undefined): Set<string> {
	if (!names().includes(name)) {
		throw new InvalidArgumentError(`Scenarios are ${names().join(", ")}.`);
	}
	return new Set(before).add(name);
}

function parseSeconds(text: string): number {
	const seconds = /^\d{1,4}(\.\d{1,3})?$/.test(text) ? Number(text) : Number.NaN;
	if (!(seconds > 0 && seconds <= SECONDS_MAX)) {
		throw new InvalidArgumentError(`Expected seconds above 0, at most ${SECONDS_MAX}.`);
	}
	return seconds;
}
