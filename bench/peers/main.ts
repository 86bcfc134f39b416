/**
 * The same load beside Apache Kafka, NATS JetStream and Redis Streams, which bench/peers/install.sh
 * installs: `npm run bench:peers`, with `-- --help` for its options.
 */
import { Command, InvalidArgumentError, Option } from "commander";

import { endingOnSignals } from "../harness/interruption.ts";
import { formatTable } from "../harness/report.ts";
import { parseRounds } from "../rounds.ts";
import { GROUPS, scenarioNames } from "./groups.ts";
import { unfinished } from "./growing-results.ts";
import { missingPeer } from "./installed.ts";
import { loadsOf, peersTable, peersWins, settingsTable } from "./report.ts";
import { type GroupResults, PEERS, type PeerName, type PeersResults } from "./results.ts";
import { runPeers } from "./run.ts";

const MEBIBYTE = 1_048_576;

/** Nobody stores so much within warm-up and timed part, below 1.6 GB/s. */
const STORED_MEBIBYTES_MAX = 4_096;

/** A run that is not to take long does not fill the whole memory either. */
const WARMED_PER_STORED = 16;

interface Options {
	readonly peers: readonly PeerName[];
	readonly rounds: number;
	readonly seconds: number;
	readonly mebibytes: number;
	readonly scenario?: readonly string[];
	readonly directory: string;
	readonly json?: string;
}

const program = new Command("bench:peers")
	.description("measure Millrace beside its peers, which bench/peers/install.sh installs")
	.addOption(
		new Option("--peers <names>", "some of them, in this order, with commas between")
			.argParser(parsePeers)
			.default(PEERS, PEERS.join(",")),
	)
	.option("--rounds <n>", "of every scenario; the median counts", parseRounds, 3)
	.option("--seconds <n>", "length of each timed part", parseAmount, 2)
	.option(
		"--mebibytes <n>",
		"values that are stored at most: what is stored sooner ends a timed part early",
		parseAmount,
		STORED_MEBIBYTES_MAX,
	)
	.option("--scenario <names...>", "only those whose names begin so")
	.option("--directory <dir>", "where data is written and removed again", ".")
	.option(
		"--json <file>",
		"where results are kept after every round; one that is there is gone on with",
	)
	.action((options: Options) => endingOnSignals(() => main(options)));

async function main(options: Options): Promise<void> {
	for (const peer of options.peers) {
		const missing = missingPeer(peer);
		if (missing !== null) program.error(missing);
	}
	const isChosen = (name: string): boolean =>
		options.scenario?.some((beginning) => name.startsWith(beginning)) ?? true;
	const groups = options.peers.map((peer) => GROUPS[peer]);
	const names = scenarioNames(groups);
	const chosen = names.filter(isChosen);
	if (chosen.length === 0) program.error(`Scenarios are ${names.join(", ")}.`);
	const storedBytesMax = options.mebibytes * MEBIBYTE;
	const results = await runPeers({
		groups: groups.filter(({ scenarios }) => scenarios.some(({ name }) => isChosen(name))),
		isChosen,
		rounds: options.rounds,
		seconds: options.seconds,
		storedBytesMax,
		warmedBytesMax: storedBytesMax * WARMED_PER_STORED,
		directory: options.directory,
		file: options.json ?? null,
		command: ["npm run bench:peers --", ...process.argv.slice(2)].join(" "),
		onProgress: (step) => process.stderr.write(`${step}\n`),
	});
	process.stdout.write(describePeers(results, chosen));
}

/** What a terminal shows. */
function describePeers(results: PeersResults, chosen: readonly string[]): string {
	const { machine, rounds, seconds, groups } = results;
	const missing = unfinished(results, chosen);
	return [
		`${rounds} x ${seconds} s, ${machine.cpus} x ${machine.cpu}, load ${machine.load_average}`,
		...groups.flatMap(describeGroup),
		...(missing.length === 0 ? [] : [["not finished:", ...missing].join("\n  ")]),
		"",
	].join("\n\n");
}

function describeGroup(group: GroupResults): string[] {
	const wins = peersWins(group);
	return [
		formatTable(settingsTable(group)),
		loadsOf(group)
			.map((load) => `load: ${load}`)
			.join("\n"),
		formatTable(peersTable(group)),
		["where the peer is better:", ...(wins.length === 0 ? ["nowhere"] : wins)].join("\n  "),
	];
}

function parsePeers(text: string): PeerName[] {
	const names = text.split(",");
	return names.map((name) => {
		const peer = PEERS.find((known) => known === name);
		if (peer === undefined) throw new InvalidArgumentError(`Peers are ${PEERS.join(", ")}.`);
		return peer;
	});
}

function parseAmount(text: string): number {
	const amount = Number(text);
	if (!(amount > 0 && amount <= 100_000)) {
		throw new InvalidArgumentError("Expected a number above 0, at most 100000.");
	}
	return amount;
}

await program.parseAsync();
