/** `millrace bench`: the harness with its progress and its results on a terminal. */
import { readFileSync, writeFileSync } from "node:fs";
import { Command, InvalidArgumentError, Option } from "commander";
import { runAgainst } from "#dist/bench/harness/against.js";
import {
	BaselineError,
	type Comparison,
	checkBaseline,
	compareResults,
	comparisonTable,
	machineDifference,
	overallVerdict,
} from "#dist/bench/harness/compare.js";
import { endingOnSignals } from "#dist/bench/harness/interruption.js";
import { describeMachine } from "#dist/bench/harness/machine.js";
import { renderPage } from "#dist/bench/harness/page/page.js";
import { PROFILES, type Profile, type ProfileName } from "#dist/bench/harness/profiles.js";
import { describeResults, formatTable } from "#dist/bench/harness/report.js";
import { type BenchResults, parseResults } from "#dist/bench/harness/results.js";
import { runBench } from "#dist/bench/harness/run.js";
import { SCENARIOS } from "#dist/bench/harness/scenarios/index.js";
import { BenchVerdictError, UsageError } from "./exit-code.ts";
import { jsonOption, wholeNumber } from "./options.ts";

const SECONDS_MAX = 3_600;
const ROUNDS_MAX = 1_000;

/** With fewer rounds there is no interval that is worth the name. */
const COMPARED_ROUNDS_MIN = 6;

interface BenchOptions {
	readonly json?: boolean;
	readonly list?: boolean;
	readonly profile: ProfileName;
	readonly seconds?: number;
	readonly rounds?: number;
	readonly scenario?: ReadonlySet<string>;
	readonly directory: string;
	readonly html?: string;
	readonly compare?: string;
	readonly against?: string;
	readonly within: number;
	readonly maxRegression: number;
	readonly otherMachine?: boolean;
}

export function benchCommand(): Command {
	return new Command("bench")
		.description("measure this machine with a broker of its own, beside what the hardware can do")
		.addOption(
			new Option(
				"--profile <profile>",
				"quick: seconds, only to see it work; gate: short rounds, to compare builds; " +
					"ci: within a minute; standard: some minutes; full: everything else, an hour; " +
					"soak: one load for twenty minutes",
			)
				.choices(Object.keys(PROFILES))
				.default("standard"),
		)
		.option("--seconds <n>", "length of each timed part (default: the profile's)", parseSeconds)
		.option(
			"--rounds <n>",
			"how often every scenario is run (default: the profile's)",
			wholeNumber(1, ROUNDS_MAX),
		)
		.addOption(
			new Option(
				"--scenario <name>",
				"only this one, of any profile; repeat for more (--list has their names)",
			).argParser(collectScenario),
		)
		.option("--list", "print the names of the scenarios and measure nothing")
		.option("--directory <dir>", "where data is written and removed again", ".")
		.option(
			"--html <file>",
			"also write the results as a page with plots, which needs nothing else",
		)
		.option(
			"--compare <file>",
			"hold the run against an earlier one's JSON: exit code 10 for a regression, 11 if unsure",
		)
		.addOption(
			new Option(
				"--against <dir>",
				"hold the run against another build, rounds in turns: a checkout that was built",
			).conflicts("compare"),
		)
		.addOption(
			new Option(
				"--within <n>",
				"with --against: no more rounds than fit into so many seconds; fewer than six tell nothing",
			)
				.argParser(parseSeconds)
				.default(SECONDS_MAX),
		)
		.addOption(
			new Option("--max-regression <percent>", "the part of its speed that a scenario may lose")
				.argParser(parsePercent)
				.default(0.1, "10%"),
		)
		.option("--other-machine", "compare, although the baseline is of another machine or Node")
		.addOption(jsonOption())
		.action((options: BenchOptions) => endingOnSignals(() => bench(options)));
}

async function bench(options: BenchOptions): Promise<void> {
	const profile = profileOf(options);
	const scenarios = SCENARIOS.filter(({ name, tier }) =>
		options.scenario === undefined
			? (profile.tiers as readonly string[]).includes(tier)
			: options.scenario.has(name),
	);
	const names = scenarios.map(({ name }) => name);
	if (options.list === true) {
		const all = options.scenario === undefined ? SCENARIOS.map(({ name }) => name) : names;
		process.stdout.write(`${all.join("\n")}\n`);
		return;
	}
	const command = ["millrace", ...process.argv.slice(2)].join(" ");
	if (options.against !== undefined) {
		const { baseline, current } = await runAgainst({
			other: options.against,
			rounds: profile.rounds,
			secondsMax: options.within,
			scenarios: names,
			benchOptions: [
				`--profile=${profile.name}`,
				`--seconds=${profile.seconds}`,
				`--directory=${options.directory}`,
			],
			command,
			onProgress: showStep,
		});
		report(current, compare(baseline, current, options), options);
		return;
	}
	const baseline =
		options.compare === undefined ? null : await readBaseline(options, profile, names);
	const { directory } = options;
	const results = await runBench({ profile, scenarios, directory, command, onProgress: showStep });
	report(results, baseline && compare(baseline, results, options), options);
}

function profileOf({ profile: name, seconds, rounds, compare, against }: BenchOptions): Profile {
	const profile = PROFILES[name];
	const isCompared = compare !== undefined || against !== undefined;
	const atLeast = isCompared ? COMPARED_ROUNDS_MIN : 1;
	if (rounds !== undefined && rounds < atLeast) {
		throw new UsageError(`a comparison needs at least ${COMPARED_ROUNDS_MIN} rounds`);
	}
	return {
		...profile,
		seconds: seconds ?? profile.seconds,
		rounds: rounds ?? Math.max(profile.rounds, atLeast),
	};
}

/** Before anything is measured: a minute's work is not thrown away for a wrong file. */
async function readBaseline(
	options: BenchOptions,
	profile: Profile,
	scenarios: readonly string[],
): Promise<BenchResults> {
	const name = options.compare as string;
	let baseline: BenchResults;
	try {
		baseline = parseResults(readFileSync(name, "utf8"), name);
		checkBaseline(baseline, { profile: profile.name, seconds: profile.seconds, scenarios });
	} catch (error) {
		throw new UsageError((error as Error).message, { cause: error });
	}
	const difference = machineDifference(baseline.machine, await describeMachine(options.directory));
	if (difference !== null && options.otherMachine !== true) {
		throw new UsageError(
			`${name} is of another machine or Node (${difference}): it says little about this one; ` +
				"--other-machine compares all the same",
		);
	}
	return baseline;
}

function compare(
	baseline: BenchResults,
	current: BenchResults,
	{ against, maxRegression }: BenchOptions,
): Comparison[] {
	const isPaired = against !== undefined;
	try {
		return compareResults(baseline, current, { regressionMax: maxRegression, isPaired });
	} catch (error) {
		if (error instanceof BaselineError) throw new UsageError(error.message, { cause: error });
		throw error;
	}
}

/** Prints, and throws where a comparison says anything but that all is well. */
function report(
	results: BenchResults,
	comparison: readonly Comparison[] | null,
	{ json, html, maxRegression: regressionMax }: BenchOptions,
): void {
	showStep("");
	if (json === true) {
		process.stdout.write(`${JSON.stringify({ ...results, comparison })}\n`);
	} else {
		process.stdout.write(describeResults(results));
		if (comparison !== null) {
			process.stdout.write(`${formatTable(comparisonTable(comparison))}\n`);
		}
	}
	// Behind the figures: a page that cannot be written is not to lose them.
	if (html !== undefined) writeFileSync(html, renderPage({ results, comparison, regressionMax }));
	const verdict = comparison === null ? "ok" : overallVerdict(comparison);
	if (verdict === "ok") return;
	const concerned = (comparison ?? []).filter((each) =>
		verdict === "regression" ? each.verdict === verdict : each.verdict !== "ok",
	);
	const names = concerned.map(({ scenario, compared }) => `${scenario} (${compared})`).join(", ");
	const percent = `${Number((regressionMax * 100).toFixed(2))} %`;
	throw new BenchVerdictError(
		verdict,
		verdict === "regression"
			? `more than ${percent} worse than the baseline: ${names}`
			: `these rounds do not tell whether more than ${percent} was lost: ${names}`,
	);
}

/** One line on a terminal, taken back by the next; nothing elsewhere. */
function showStep(step: string): void {
	if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${step}`);
}

function collectScenario(name: string, before: ReadonlySet<string> | undefined): Set<string> {
	const names = SCENARIOS.map((scenario) => scenario.name);
	if (!names.includes(name)) {
		throw new InvalidArgumentError(`Scenarios are ${names.join(", ")}.`);
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

/** `10%` as 0.1. */
function parsePercent(text: string): number {
	const percent = Number(/^(\d{1,2}(?:\.\d{1,3})?)\s?%$/.exec(text)?.[1] ?? Number.NaN);
	if (Number.isNaN(percent)) throw new InvalidArgumentError("Expected a percentage such as 10%.");
	return percent / 100;
}
