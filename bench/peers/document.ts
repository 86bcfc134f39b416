/** The part of docs/benchmarks.md about peers. */
import { stateBefore } from "../harness/machine.ts";
import { markdownTable } from "../harness/report.ts";
import { GROUPS, scenarioNames } from "./groups.ts";
import { unfinished } from "./growing-results.ts";
import { loadsOf, peersTable, peersWins, settingsTable } from "./report.ts";
import type { GroupResults, PeersResults } from "./results.ts";
import { FALL_MAX, UNCOUNTED_ROUNDS_MAX, UNCOUNTED_ROUNDS_MIN } from "./settling.ts";

const INTRODUCTION = `
## Beside Apache Kafka, NATS JetStream and Redis Streams

The same load for Millrace and for what would be chosen instead, on one machine in one run. In a
clone:

\`\`\`sh
bench/peers/install.sh                # Kafka from Maven, NATS from Go, Redis from Debian
npm run bench:peers -- --json FILE    # an hour or two; a table, and FILE for programs
npm run bench:peers -- --peers nats --rounds 1 --seconds 1 --scenario nats-produce
npm run bench:all                     # this, \`millrace bench --profile full\` and then this page
\`\`\`

FILE is written after every round. Where it is there already, the run goes on with it: what has all
its rounds is not measured again, so a run may be interrupted, and scenarios and peers may be
measured one by one into the same FILE. It has to be of the same machine, versions, \`--rounds\`,
\`--seconds\` and \`--mebibytes\`. \`bench:all\` goes on in the same way, with files below
bench/results that \`--name\` names.

- Beside Kafka the client is the same for both: a program around librdkafka, with its defaults but
  for a longer queue of the consumer (\`bench/peers/load/kafka-load.c\`), and Kafka's own
  ProducerPerformance and ConsumerPerformance. Topics have one partition and the same configuration.
- Beside NATS and Redis the load is one Node process with the contender's own client: Millrace's
  over WebSocket; NATS native and over WebSocket, with an ack a record or its fast ingest, read by
  an ordered consumer; Redis with pipelined XADD, read by XREAD. Over WebSocket neither masks: both
  have the same package, and keys of zeroes. How much may lie unacknowledged is what each is fastest
  with.
- \`written\` and \`flushed\` are the settings in the tables. Where a peer flushes what is written
  after a while, Millrace's topics do so after the same while (\`flush.ms\`).
- Both brokers run all the time, and only one of them has a load. Contenders take turns within each
  scenario, in every other round from the last to the first, and scenarios within each round.
  Between two of them the topic is removed and the system's buffers are written out.
- A virtual machine compiles what is often called, and needs less from round to round until it
  has. Rounds at full length that are not counted come first, at least ${UNCOUNTED_ROUNDS_MIN}
  and at most ${UNCOUNTED_ROUNDS_MAX}, until no contender's CPU per GiB is more than
  ${FALL_MAX * 100} % below its least before. All contenders have the same number of them; it
  stands in the tables. A run of one round has none.
- A timed part takes \`--seconds\`, whoever is faster: the system tells CPU time in ticks of 10 ms,
  which is nothing to measure a few tenths of a second with. \`--mebibytes\` end it earlier only
  where a contender stores that much in the time; how long it was stands in the tables.
- A log that is read is what the contender can store in the seconds of a timed part, at most an
  eighth of \`--mebibytes\`. It is read again and again, always to its end. Kafka's tools read one
  once, of at most a quarter, and write a sixteenth.
- All that is sent is read back, and compared by count and by a SHA-256 of offsets and values; what
  Kafka's tools send is counted, and hashed to be the same for both.
- Figures are medians of the rounds. The columns on the right tell Millrace's figure as a multiple
  of that row's, from the pairs of each round: the median, the lowest and the highest. CPU and
  memory are the broker's: user and system time, and anonymous memory at its largest.
`;

/** Results are in the order of their names; without any it tells how to have some. */
export function renderPeers(all: readonly PeersResults[]): string {
	return `${INTRODUCTION}${all.map(renderRun).join("")}`;
}

function renderRun(results: PeersResults): string {
	const { machine, started_at, command, seconds, rounds, groups } = results;
	const lacking = unfinished(results, scenarioNames(Object.values(GROUPS)));
	const gibibytes = (machine.memory_bytes / 1_073_741_824).toFixed(0);
	return [
		`\n### ${machine.cpus} x ${machine.cpu}, ${gibibytes} GiB, ${started_at.slice(0, 10)}`,
		`${machine.operating_system}, Node ${machine.node}; ${stateBefore(machine)}.\n` +
			`\`${command}\`: ${rounds} x ${seconds} s.`,
		...(lacking.length === 0 ? [] : [`Not the whole comparison:\n\n${list(lacking)}`]),
		...groups.flatMap(renderGroup),
		"",
	].join("\n\n");
}

function renderGroup(group: GroupResults): string[] {
	const wins = peersWins(group);
	return [
		markdownTable(settingsTable(group)),
		`Loads:\n\n${list(loadsOf(group))}`,
		markdownTable(peersTable(group)),
		`Where the peer is better:\n\n${list(wins.length === 0 ? ["nowhere"] : wins)}`,
	];
}

function list(lines: readonly string[]): string {
	return lines.map((line) => `- ${line}`).join("\n");
}
