/** What Millrace is to reach, held against measured results: a part of docs/benchmarks.md. */
import type { Table } from "./harness/report.ts";
import type { BenchResults, ScenarioResult } from "./harness/results.ts";
import { cpuOf, type PeerFigure, rateOf, ratioOf } from "./peers/report.ts";
import type { ContenderName, PeerName, PeersResults } from "./peers/results.ts";
import { REASONS, type Reason } from "./reasons.ts";

/** The newest results of either kind; undefined where there are none. */
export interface Measured {
	readonly bench: BenchResults | undefined;
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

const MEBIBYTE = 1_048_576;
const KIBIBYTE = 1_024;

const TARGETS: readonly Target[] = [
	...["100b", "1kib"].flatMap((size) => [
		kafkaCost(`produced, ${size}`, `kafka-produce-written-acks-all-${size}`),
		kafkaCost(`consumed, ${size}`, `kafka-consume-${size}`),
		kafkaRate(`produced, ${size}`, `kafka-produce-written-acks-all-${size}`),
		kafkaRate(`consumed, ${size}`, `kafka-consume-${size}`),
	]),
	bareLoop("kafka-produce-written-1kib", "loopback_receive_cpu_seconds_per_gib"),
	bareLoop("kafka-consume-1kib", "loopback_send_cpu_seconds_per_gib"),
	beside("nats", "nats-websocket", "nats-produce-written-100b", 5),
	beside("nats", "nats-websocket", "nats-produce-written-1kib", 5),
	beside("nats", "nats-websocket", "nats-consume-batches-100b", 5),
	rate("websocket-produce-written-100b", 3_000_000),
	rate("websocket-produce-written-1kib", 700_000),
	rate("websocket-consume-for-await-100b", 2_000_000),
	rate("websocket-consume-batches-100b", 5_000_000),
	besideEcho("websocket-ack-latency-written", "p50_us", 1.5),
	besideEcho("websocket-ack-latency-written", "p99_us", 1.5),
	besideEcho("websocket-delivery-latency-written", "p50_us", 2),
	flushedAck(150),
	share("websocket-produce-flushed-1kib", 100),
	figure("websocket-ping-under-produce", "p99.9 of a ping under full load", 2_000, "us"),
	share("core-append-1mib", 60),
	figure("start-empty", "from start to first ack, nothing stored", 200, "ms"),
	figure("start-after-kill", "the same after a kill, with data", 500, "ms"),
	figure("start-partitions-10000", "the same with 10,000 partitions", 2_000, "ms"),
	bytes("memory-connections-0", "anonymous memory of an idle broker", 40 * MEBIBYTE),
	extra("memory-connections-5000", "memory an idle connection", 4 * KIBIBYTE),
	extra("websocket-produce-partitions-10000", "memory an idle partition", 2 * KIBIBYTE),
	slowReaders(1.2),
];

/** The reasons for what the results say is missed. */
export function reasonsFor(measured: Measured): Reason[] {
	const missed = new Set(
		TARGETS.filter(({ find }) => find(measured)?.isMet === false).map(({ name }) => name),
	);
	return REASONS.filter(({ targets }) => targets.some((name) => missed.has(name)));
}

/** The names of all targets. */
export function targetNames(): TargetName[] {
	return TARGETS.map(({ name }) => name);
}

/** A row a target; null without any results. */
export function targetsTable(measured: Measured): Table | null {
	if (measured.bench === undefined && measured.peers === undefined) return null;
	return {
		heads: ["what", "target", "measured", "met"],
		rows: TARGETS.map(({ what, target, find }) => {
			const found = find(measured);
			if (found === null) return [what, target, "-", "not measured"];
			return [what, target, found.figure, found.isMet ? "yes" : "**no**"];
		}),
	};
}

function scenarioOf({ bench }: Measured, scenario: string): ScenarioResult | undefined {
	return bench?.results.find((result) => result.scenario === scenario);
}

/** A target of one scenario. */
function ofScenario(
	kind: TargetKind,
	scenario: string,
	what: string,
	target: string,
	find: (result: ScenarioResult, bench: BenchResults) => Finding | null,
): Target {
	return {
		name: `${kind}:${scenario}`,
		what: `${what} (\`${scenario}\`)`,
		target,
		find(measured) {
			const result = scenarioOf(measured, scenario);
			if (result === undefined || measured.bench === undefined) return null;
			return find(result, measured.bench);
		},
	};
}

function rate(scenario: string, least: number): Target {
	return ofScenario("rate", scenario, "rate", `>= ${grouped(least)} records/s`, (result) => ({
		figure: `${grouped(result.records_per_second)} records/s`,
		isMet: result.records_per_second >= least,
	}));
}

/** A part of its limit in percent. */
function share(scenario: string, least: number): Target {
	return ofScenario("share", scenario, "part of its limit", `>= ${least} %`, ({ roofline }) =>
		roofline === null
			? null
			: {
					figure: `${roofline.percent.toFixed(0)} % of ${roofline.limit}`,
					isMet: roofline.percent >= least,
				},
	);
}

function figure(scenario: string, what: string, most: number, unit: "us" | "ms"): Target {
	return ofScenario("figure", scenario, what, `<= ${grouped(most)} ${unit}`, (result) => ({
		figure: `${grouped(result.figure.value)} ${unit}`,
		isMet: result.figure.unit === unit && result.figure.value <= most,
	}));
}

function bytes(scenario: string, what: string, most: number): Target {
	return ofScenario("memory", scenario, what, `<= ${kibibytes(most)}`, ({ figure: { value } }) => ({
		figure: kibibytes(value),
		isMet: value <= most,
	}));
}

function extra(scenario: string, name: string, most: number): Target {
	return ofScenario("memory", scenario, name, `<= ${kibibytes(most)}`, ({ extras }) => {
		const value = extras.find((each) => each.name === name)?.value;
		return value === undefined ? null : { figure: kibibytes(value), isMet: value <= most };
	});
}

/** CPU a GiB as a multiple of what a bare loop needs that does nothing else. */
function bareLoop(
	scenario: string,
	limit: "loopback_receive_cpu_seconds_per_gib" | "loopback_send_cpu_seconds_per_gib",
): Target {
	const most = 1.5;
	const what = "broker CPU a GiB beside a bare loop in C++";
	const target = `<= ${most}x`;
	return ofScenario("beside-bare-loop", scenario, what, target, ({ broker }, { roofline }) =>
		broker === null || roofline === null
			? null
			: multiple(broker.cpu_seconds_per_gib / roofline[limit], (value) => value <= most),
	);
}

function besideEcho(scenario: string, percentile: "p50_us" | "p99_us", most: number): Target {
	const short = percentile === "p50_us" ? "p50" : "p99";
	const what = `${short} beside a bare echo`;
	const kind = `beside-echo-${short}` as const;
	return ofScenario(kind, scenario, what, `<= ${most}x`, ({ latency, beside: echo }) =>
		latency === null || echo === null
			? null
			: multiple(latency[percentile] / echo.latency[percentile], (value) => value <= most),
	);
}

function flushedAck(moreUs: number): Target {
	const target = `<= fdatasync of its bytes, paced alike, + ${moreUs} us`;
	const what = "p50 of an ack";
	const scenario = "websocket-ack-latency-flushed";
	return ofScenario("beside-disk", scenario, what, target, ({ latency }, { roofline }) => {
		if (latency === null || roofline?.sync_paced_us === undefined) return null;
		const [ack, sync] = [latency.p50_us, roofline.sync_paced_us];
		return {
			figure: `${ack.toFixed(0)} us; fdatasync ${sync.toFixed(0)} us`,
			isMet: ack <= sync + moreUs,
		};
	});
}

function slowReaders(most: number): Target {
	const what = "p99 of others beside 1 % slow readers, as a multiple of without";
	const scenario = "websocket-slow-readers-1000";
	return ofScenario("beside-without", scenario, what, `<= ${most}x`, (result) => {
		const { latency, beside: without } = result;
		if (latency === null || without === null) return null;
		return multiple(latency.p99_us / without.latency.p99_us, (value) => value <= most);
	});
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
