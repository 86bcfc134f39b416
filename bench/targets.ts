/** What Millrace is to reach, held against measured results: a part of docs/benchmarks.md. */
import { DEVICE_BYTES } from "./harness/device.ts";
import { besideBareLoop, type Table } from "./harness/report.ts";
import type { BenchResults, ScenarioResult } from "./harness/results.ts";
import { median } from "./harness/roofline.ts";
import { cpuOf, type PeerFigure, rateOf, ratioOf } from "./peers/report.ts";
import type { ContenderName, PeerName, PeersResults } from "./peers/results.ts";
import { REASONS, type Reason } from "./reasons.ts";

/** Results of either kind. */
export interface Measured {
	/** In any order: a target is held against the newest that measured what it asks for. */
	readonly bench: readonly BenchResults[];
	/** The newest; undefined where there are none. */
	readonly peers: PeersResults | undefined;
}

interface Finding {
	readonly figure: string;
	readonly isMet: boolean;
}

/** What kinds of targets there are; with its scenario each names one. */
type TargetKind =
	| "beside-kafka-cost"
	| "beside-kafka-rate"
	| "beside-nats"
	| "beside-bare-loop"
	| "beside-echo-p50"
	| "beside-echo-p99"
	| "beside-disk"
	| "beside-without"
	| "device-bytes"
	| "rate"
	| "share"
	| "figure"
	| "memory";

/** A target as reasons name it. */
export type TargetName = `${TargetKind}:${string}`;

interface Target {
	readonly name: TargetName;
	readonly what: string;
	readonly target: string;
	/** Null where it was not measured. */
	find(measured: Measured): Finding | null;
}

/** What a result must be of, beside its scenario: profiles make some less than their names say. */
interface Asked {
	/** Values that lie in the log, at least. */
	readonly storedBytes?: number;
	/** Connections, partitions or subscribers. */
	readonly count?: number;
	readonly transport?: string;
}

/** Profiles whose figures are not worth keeping, or are for comparing builds alone. */
const PASSING_PROFILES: readonly string[] = ["quick", "gate"];

/** The targets are those of a machine with so many. */
const CPUS = 2;

const GIBIBYTE = 1_073_741_824;
const MEBIBYTE = 1_048_576;
const KIBIBYTE = 1_024;

const TARGETS: readonly Target[] = [
	...["100b", "1kib"].flatMap((size) => [
		kafkaCost(`produced, ${size}`, `kafka-produce-written-acks-all-${size}`),
		kafkaCost(`consumed, ${size}`, `kafka-consume-${size}`),
		kafkaRate(`produced, ${size}`, `kafka-produce-written-acks-all-${size}`),
		kafkaRate(`consumed, ${size}`, `kafka-consume-${size}`),
	]),
	...["100b", "1kib"].flatMap((size) => [
		bareLoop(`kafka-produce-written-${size}`),
		bareLoop(`kafka-consume-${size}`),
	]),
	beside("nats", "nats-websocket", "nats-produce-written-100b", 5),
	beside("nats", "nats-websocket", "nats-produce-written-1kib", 5),
	beside("nats", "nats-websocket", "nats-consume-batches-100b", 5),
	rate("websocket-produce-written-100b", 3_000_000),
	rate("websocket-produce-written-1kib", 700_000),
	rate("websocket-produce-masked-1kib", 250_000),
	rate("websocket-consume-for-await-100b", 2_000_000),
	rate("websocket-consume-batches-100b", 5_000_000),
	besideEcho("websocket-ack-latency-written", "p50_us", 1.5),
	besideEcho("websocket-ack-latency-written", "p99_us", 1.5),
	besideEcho("websocket-delivery-latency-written", "p50_us", 2),
	besideEcho("websocket-delivery-latency-written", "p99_us", 2),
	flushedAck(150),
	share("websocket-produce-flushed-1kib", 100),
	deviceBytes("websocket-produce-flushed-100b", 1.3),
	deviceBytes("websocket-produce-flushed-1kib", 1.3),
	figure(
		"websocket-produce-flushed-partitions-1000",
		"p99 of a flushed ack, 1,000 hot partitions",
		50_000,
		"us",
		{ count: 1_000 },
	),
	figure("websocket-ping-under-produce", "p99.9 of a ping under full load", 2_000, "us"),
	share("core-append-1mib", 60),
	figure("start-empty", "from start to first ack, nothing stored", 200, "ms"),
	figure("start-after-kill", "the same after a kill, with 10 GiB", 500, "ms", {
		storedBytes: 10 * GIBIBYTE,
	}),
	figure("start-partitions-10000", "the same with 10,000 partitions", 2_000, "ms", {
		count: 10_000,
	}),
	bytes("memory-connections-0", "anonymous memory of an idle broker", 40 * MEBIBYTE),
	// Of an extra event loop there is no row: a broker has one.
	fullLoadMemory("websocket-fan-out-100", 100, 150 * MEBIBYTE),
	idleConnection("memory-connections-5000", "uws", 4 * KIBIBYTE),
	idleConnection("memory-connections-ws-5000", "ws", 20 * KIBIBYTE),
	idlePartition(2 * KIBIBYTE),
	slowPartition(64 * KIBIBYTE),
	slowReaders(1.2),
];

/** The names of those that the results say are missed. */
export function missedTargets(measured: Measured): TargetName[] {
	return TARGETS.filter(({ find }) => find(measured)?.isMet === false).map(({ name }) => name);
}

/** The reasons for what the results say is missed. */
export function reasonsFor(measured: Measured): Reason[] {
	const missed = new Set(missedTargets(measured));
	return REASONS.filter(({ targets }) => targets.some((name) => missed.has(name)));
}

/** The names of all targets. */
export function targetNames(): TargetName[] {
	return TARGETS.map(({ name }) => name);
}

/** A row a target; null without any results. */
export function targetsTable(measured: Measured): Table | null {
	if (measured.bench.length === 0 && measured.peers === undefined) return null;
	const other = onAnotherProcessor(measured);
	return {
		heads: ["what", "target", "measured", "met", ...(other === null ? [] : [other.title, "met"])],
		rows: TARGETS.map(({ what, target, find }) => {
			const beside = other === null ? [] : (cells(find(other.measured)) ?? ["-", ""]);
			return [what, target, ...(cells(find(measured)) ?? ["-", "not measured"]), ...beside];
		}),
	};
}

function cells(found: Finding | null): [figure: string, isMet: string] | null {
	return found && [found.figure, found.isMet ? "yes" : "**no**"];
}

/** Results of the processor that was measured before the newest one was; null: there is none. */
function onAnotherProcessor({ bench }: Measured): { title: string; measured: Measured } | null {
	const [newest, ...before] = newestFirst(bench);
	const other = before.find(({ machine }) => machine.cpu !== newest?.machine.cpu)?.machine;
	if (other === undefined) return null;
	const ofOther = bench.filter(({ machine }) => machine.cpu === other.cpu);
	return {
		title: `on ${other.cpus} x ${other.cpu}`,
		measured: { bench: ofOther, peers: undefined },
	};
}

function newestFirst(bench: readonly BenchResults[]): BenchResults[] {
	return [...bench].sort((one, other) => (one.started_at < other.started_at ? 1 : -1));
}

/** A result, and the run that it is of: its limits and its machine. */
interface Found {
	readonly result: ScenarioResult;
	readonly run: BenchResults;
}

/** Results of a scenario that are of what is asked for, the newest first. */
function resultsOf({ bench }: Measured, scenario: string, asked: Asked): Found[] {
	return newestFirst(bench)
		.filter(({ profile, machine }) => !PASSING_PROFILES.includes(profile) && machine.cpus === CPUS)
		.flatMap((run) => run.results.map((result) => ({ result, run })))
		.filter(({ result }) => result.scenario === scenario && isAsked(result, asked));
}

function isAsked(
	{ verified, record_bytes, curve, transport }: ScenarioResult,
	asked: Asked,
): boolean {
	const isLarge = verified.records * record_bytes >= (asked.storedBytes ?? 0);
	const isMany = asked.count === undefined || curve?.count === asked.count;
	return isLarge && isMany && (asked.transport ?? transport) === transport;
}

interface ScenarioTarget extends Asked {
	readonly kind: TargetKind;
	readonly scenario: string;
	readonly what: string;
	readonly target: string;
}

/** A target of one scenario; `find` gives null for a result that does not tell. */
function ofScenario(
	{ kind, scenario, what, target, ...asked }: ScenarioTarget,
	find: (result: ScenarioResult, run: BenchResults) => Finding | null,
): Target {
	return {
		name: `${kind}:${scenario}`,
		what: `${what} (\`${scenario}\`)`,
		target,
		find(measured) {
			for (const { result, run } of resultsOf(measured, scenario, asked)) {
				const finding = find(result, run);
				if (finding !== null) return finding;
			}
			return null;
		},
	};
}

function rate(scenario: string, least: number): Target {
	const target = `>= ${grouped(least)} records/s`;
	return ofScenario({ kind: "rate", scenario, what: "rate", target }, (result) => ({
		figure: `${grouped(result.records_per_second)} records/s`,
		isMet: result.records_per_second >= least,
	}));
}

/** A part of its limit in percent. */
function share(scenario: string, least: number): Target {
	const of = {
		kind: "share",
		scenario,
		what: "part of its limit",
		target: `>= ${least} %`,
	} as const;
	return ofScenario(of, ({ roofline }) =>
		roofline === null
			? null
			: {
					figure: `${roofline.percent.toFixed(0)} % of ${roofline.limit}`,
					isMet: roofline.percent >= least,
				},
	);
}

/** A figure in a unit of time. */
function figure(
	scenario: string,
	what: string,
	most: number,
	unit: "us" | "ms",
	asked: Asked = {},
): Target {
	const target = `<= ${grouped(most)} ${unit}`;
	return ofScenario({ kind: "figure", scenario, what, target, ...asked }, ({ figure: found }) =>
		found.value === null || found.unit !== unit
			? null
			: { figure: `${grouped(found.value)} ${unit}`, isMet: found.value <= most },
	);
}

function bytes(scenario: string, what: string, most: number): Target {
	const target = `<= ${kibibytes(most)}`;
	return ofScenario({ kind: "memory", scenario, what, target }, ({ figure: { value } }) =>
		value === null ? null : { figure: kibibytes(value), isMet: value <= most },
	);
}

function idleConnection(scenario: string, transport: string, most: number): Target {
	const of = { kind: "memory", scenario, count: 5_000, transport } as const;
	return extra({ ...of, name: "memory an idle connection", over: ` on ${transport}`, most });
}

function idlePartition(most: number): Target {
	const scenario = "websocket-produce-partitions-10000";
	const of = { kind: "memory", scenario, count: 10_000 } as const;
	return extra({ ...of, name: "memory an idle partition", over: "", most });
}

function slowPartition(most: number): Target {
	const scenario = "page-cache-partitions-10000";
	const of = { kind: "memory", scenario, count: 10_000 } as const;
	return extra({ ...of, name: "page cache a slow partition", over: "", most });
}

interface ExtraTarget extends Omit<ScenarioTarget, "what" | "target"> {
	/** That the scenario gives it. */
	readonly name: string;
	readonly over: string;
	readonly most: number;
}

function extra({ name, over, most, ...of }: ExtraTarget): Target {
	const target = `<= ${kibibytes(most)}`;
	return ofScenario({ ...of, what: `${name}${over}`, target }, ({ extras }) => {
		const value = extras.find((each) => each.name === name)?.value;
		return value === undefined ? null : { figure: kibibytes(value), isMet: value <= most };
	});
}

/** Of a load that is as fast as it can, to or from so many connections. */
function fullLoadMemory(scenario: string, count: number, most: number): Target {
	const what = `anonymous memory under full load, ${count} connections`;
	const target = `<= ${kibibytes(most)}`;
	return ofScenario({ kind: "memory", scenario, what, target, count }, ({ broker }) => {
		const value = broker?.anonymous_bytes_max;
		return value === undefined ? null : { figure: kibibytes(value), isMet: value <= most };
	});
}

/** CPU a GiB as a multiple of what a bare loop needs that does nothing else. */
function bareLoop(scenario: string): Target {
	const most = 1.5;
	const what = "broker CPU a GiB beside a bare loop in C++";
	const of = { kind: "beside-bare-loop", scenario, what, target: `<= ${most}x` } as const;
	return ofScenario(of, (result, { roofline }) => {
		const ratio = besideBareLoop(result, roofline);
		return ratio === null ? null : multiple(ratio, (value) => value <= most);
	});
}

function besideEcho(scenario: string, percentile: "p50_us" | "p99_us", most: number): Target {
	const short = percentile === "p50_us" ? "p50" : "p99";
	const what = `${short} beside a bare echo`;
	const kind = `beside-echo-${short}` as const;
	return ofScenario({ kind, scenario, what, target: `<= ${most}x` }, (result) =>
		besideOther(result, percentile, most),
	);
}

/**
 * A percentile as a multiple of what it is measured beside, the median of the rounds' multiples;
 * null where a round does not tell. Files of before rounds told have only the medians of both.
 */
function besideOther(
	{ latency, beside, rounds }: ScenarioResult,
	percentile: "p50_us" | "p99_us",
	most: number,
): Finding | null {
	const ofRounds = rounds.map((round) =>
		ratioOrNull(round[percentile], round[`beside_${percentile}` as const]),
	);
	const known = ofRounds.filter((ratio) => ratio !== null);
	const ratio =
		known.length === rounds.length && known.length > 0
			? median(known)
			: ratioOrNull(latency?.[percentile], beside?.latency[percentile]);
	return ratio === null ? null : multiple(ratio, (value) => value <= most);
}

function ratioOrNull(
	one: number | null | undefined,
	other: number | null | undefined,
): number | null {
	return typeof one === "number" && typeof other === "number" ? one / other : null;
}

function flushedAck(moreUs: number): Target {
	const target = `<= fdatasync of its bytes, paced alike, + ${moreUs} us`;
	const scenario = "websocket-ack-latency-flushed";
	const of = { kind: "beside-disk", scenario, what: "p50 of an ack", target } as const;
	return ofScenario(of, ({ latency }, { roofline }) => {
		const [ack, sync] = [latency?.p50_us ?? null, roofline?.sync_paced_us];
		if (ack === null || sync === undefined) return null;
		return {
			figure: `${ack.toFixed(0)} us; fdatasync ${sync.toFixed(0)} us`,
			isMet: ack <= sync + moreUs,
		};
	});
}

function deviceBytes(scenario: string, most: number): Target {
	const what = `${DEVICE_BYTES} and flushed`;
	const of = { kind: "device-bytes", scenario, what, target: `<= ${most}` } as const;
	return ofScenario(of, ({ extras }) => {
		const value = extras.find(({ name }) => name === DEVICE_BYTES)?.value;
		return value === undefined ? null : { figure: value.toFixed(2), isMet: value <= most };
	});
}

function slowReaders(most: number): Target {
	const what = "p99 of others beside 1 % slow readers, as a multiple of without";
	const scenario = "websocket-slow-readers-1000";
	const of = {
		kind: "beside-without",
		scenario,
		what,
		target: `<= ${most}x`,
		count: 1_000,
	} as const;
	return ofScenario(of, (result) => besideOther(result, "p99_us", most));
}

function kafkaCost(what: string, scenario: string): Target {
	return ofPeer({
		kind: "beside-kafka-cost",
		...{ what: `broker CPU a GiB ${what}, as a multiple of Apache Kafka's`, scenario },
		...{ peer: "kafka", contender: "kafka", target: "<= 0.5x", figure: cpuOf },
		isMet: (value) => value <= 0.5,
	});
}

function kafkaRate(what: string, scenario: string): Target {
	return ofPeer({
		kind: "beside-kafka-rate",
		...{ what: `rate ${what}, as a multiple of Apache Kafka's`, scenario },
		...{ peer: "kafka", contender: "kafka", target: ">= 1x", figure: rateOf },
		isMet: (value) => value >= 1,
	});
}

function beside(peer: PeerName, contender: ContenderName, scenario: string, least: number): Target {
	return ofPeer({
		kind: "beside-nats",
		...{ what: `rate as a multiple of ${contender}'s`, scenario, peer, contender },
		...{ target: `>= ${least}x`, figure: rateOf },
		isMet: (value) => value >= least,
	});
}

interface PeerTarget {
	readonly kind: TargetKind;
	readonly what: string;
	readonly peer: PeerName;
	readonly contender: ContenderName;
	readonly scenario: string;
	readonly target: string;
	readonly figure: PeerFigure;
	isMet(value: number): boolean;
}

function ofPeer(of: PeerTarget): Target {
	const { kind, what, peer, contender, scenario, target, figure, isMet } = of;
	return {
		name: `${kind}:${scenario}`,
		what: `${what} (\`${scenario}\`)`,
		target,
		find({ peers }) {
			const group = peers?.groups.find((each) => each.peer === peer);
			const results = group?.scenarios.find((each) => each.scenario === scenario);
			const ours = results?.contenders.find((each) => each.contender === "millrace");
			const theirs = results?.contenders.find((each) => each.contender === contender);
			if (ours === undefined || theirs === undefined) return null;
			const ratio = ratioOf(ours, theirs, figure);
			return ratio === null ? null : multiple(ratio.median, isMet);
		},
	};
}

function multiple(value: number, isMet: (value: number) => boolean): Finding {
	return { figure: `${value.toFixed(2)}x`, isMet: isMet(value) };
}

function grouped(value: number): string {
	return Math.round(value).toLocaleString("en-US");
}

function kibibytes(value: number): string {
	return value >= MEBIBYTE
		? `${(value / MEBIBYTE).toFixed(0)} MiB`
		: `${(value / KIBIBYTE).toFixed(1)} KiB`;
}
