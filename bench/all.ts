/**
 * The whole comparison, written to the page: the same load beside the peers, which
 * bench/peers/install.sh installs, then everything that `millrace bench` measures, round by round.
 * What an interrupted run has is not measured again: `npm run bench:all`, with `-- --help` for its
 * options.
 */
import { existsSync, readFileSync } from "node:fs";
import { mkdir, rename, rm, writeFile } from "node:fs/promises";
import { cpus } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Command } from "commander";

import { readPeersResults, readResults, renderDocument } from "./document.ts";
import { mergeRuns } from "./harness/against.ts";
import { machineDifference } from "./harness/compare.ts";
import { endingOnSignals } from "./harness/interruption.ts";
import { describeMachine } from "./harness/machine.ts";
import { PROFILES } from "./harness/profiles.ts";
import { type Output, runProgram } from "./harness/program.ts";
import { parseResults } from "./harness/results.ts";
import { parseRounds } from "./rounds.ts";

const PROGRAMS = {
	bench: fileURLToPath(import.meta.resolve("#bundle/millrace.js")),
	peers: fileURLToPath(import.meta.resolve("#dist/bench/peers/main.js")),
};

interface Options {
	readonly name: string;
	readonly rounds: number;
	readonly bench: readonly string[];
	readonly peers: readonly string[];
	readonly directory: string;
	readonly results: string;
	readonly page: string;
}

const program = new Command("bench:all")
	.description("measure everything, also beside the peers, and write the page of benchmarks")
	.option(
		"--name <name>",
		"of the files of results; those of an earlier run are gone on with",
		today(),
	)
	.option("--rounds <n>", "of `millrace bench`", parseRounds, PROFILES.full.rounds)
	.option("--bench <options>", "of `millrace bench`, in one word", words, words("--profile full"))
	.option("--peers <options>", "of `npm run bench:peers`, in one word", words, [])
	.option("--directory <dir>", "where data is written and removed again", ".")
	.option("--results <dir>", "where results are kept", "bench/results")
	.option("--page <file>", "what is written in the end", "docs/benchmarks.md")
	.action((options: Options) => endingOnSignals(() => main(options)));

async function main(options: Options): Promise<void> {
	const { name, results, page } = options;
	await checkEarlierRounds(options);
	await mkdir(join(results, "peers"), { recursive: true });
	tell(`results are kept as ${name}; to go on with them: npm run bench:all -- --name ${name}`);
	await measurePeers(options);
	await measureBench(options);
	await writeFile(page, renderDocument(readResults(results), readPeersResults(results)));
	tell(`written: ${page}; before results are committed: npm run format`);
}

/** Goes on by itself with the file that it has; ends at once where a peer is not installed. */
async function measurePeers({ name, peers, directory, results }: Options): Promise<void> {
	const file = join(results, "peers", `${name}.json`);
	await run(PROGRAMS.peers, [`--directory=${directory}`, `--json=${file}`, ...peers], "inherit");
}

/** Round by round, each in a file of its own until there are all. */
async function measureBench(options: Options): Promise<void> {
	const { name, rounds, results } = options;
	const file = join(results, `${name}.json`);
	if (existsSync(file)) return tell(`${file} is there already`);
	const files = roundFiles(options);
	for (const [index, ofRound] of files.entries()) {
		if (existsSync(ofRound)) continue;
		tell(`millrace bench: round ${index + 1} of ${rounds}`);
		await writeWhole(ofRound, await run(PROGRAMS.bench, benchWords(options), "pipe"));
	}
	const runs = files.map((ofRound) => parseResults(readFileSync(ofRound, "utf8"), ofRound));
	await writeWhole(file, `${JSON.stringify(mergeRuns(runs, commandLine()))}\n`);
	await Promise.all(files.map((ofRound) => rm(ofRound)));
}

/** By their names no results of which anybody else takes notice. */
function roundFiles({ name, rounds, results }: Options): string[] {
	return Array.from({ length: rounds }, (_, index) =>
		join(results, `${name}-round-${index + 1}.local.json`),
	);
}

/** What one round runs `millrace` with. */
function benchWords({ bench, directory }: Options): string[] {
	return ["bench", ...bench, "--rounds=1", "--json", `--directory=${directory}`];
}

/** Throws where an interrupted run was of another machine, or was asked for something else. */
async function checkEarlierRounds(options: Options): Promise<void> {
	const asked = ["millrace", ...benchWords(options)].join(" ");
	const here = await describeMachine(options.directory);
	for (const file of roundFiles(options).filter((ofRound) => existsSync(ofRound))) {
		const { command, machine } = parseResults(readFileSync(file, "utf8"), file);
		const difference =
			command === asked ? machineDifference(machine, here) : `${command} against ${asked}`;
		if (difference === null) continue;
		throw new Error(`${file} cannot be gone on with (${difference}): take another --name`);
	}
}

/** All at once: whoever finds the file finds all of it. */
async function writeWhole(file: string, text: string): Promise<void> {
	await writeFile(`${file}.unfinished`, text);
	await rename(`${file}.unfinished`, file);
}

/** Runs a program to its end and resolves with its output, if that is piped here. */
async function run(file: string, parameters: readonly string[], output: Output): Promise<string> {
	const { status, stdout } = await runProgram(file, parameters, output, "inherit");
	if (status !== 0) throw new Error(`${file} ${parameters.join(" ")} ended with ${status}`);
	return stdout;
}

function tell(step: string): void {
	process.stderr.write(`${step}\n`);
}

/** Results are read in the order of their names: the newest are the last. */
function today(): string {
	return `${new Date().toISOString().slice(0, 10)}-${cpus().length}-cpu`;
}

/** As it is typed. */
function commandLine(): string {
	const quoted = process.argv.slice(2).map((word) => (word.includes(" ") ? `"${word}"` : word));
	return ["npm run bench:all", ...(quoted.length === 0 ? [] : ["--", ...quoted])].join(" ");
}

function words(text: string): string[] {
	return text.split(" ").filter((word) => word !== "");
}

await program.parseAsync();
