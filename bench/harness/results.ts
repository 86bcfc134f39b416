/**
 * What a run of the benchmarks found, as it is written to JSON. Readers check `schema`: a field is
 * added without changing it, and one that changes its meaning or goes changes the number.
 */
export const RESULTS_SCHEMA = "millrace-bench/3";

/** What it was while every percentile was a number, and rounds told less: it can still be read. */
const SCHEMA_BEFORE = "millrace-bench/2";

export interface BenchResults {
	readonly schema: typeof RESULTS_SCHEMA | typeof SCHEMA_BEFORE;
	readonly millrace: string;
	/** ISO 8601, UTC. */
	readonly started_at: string;
	readonly command: string;
	readonly profile: string;
	/** Length of each timed part. */
	readonly seconds: number;
	readonly rounds: number;
	readonly machine: Machine;
	/** Page cache that was filled and given back before measuring, so that no write is the first. */
	readonly page_cache_warmed_bytes: number;
	/** The median of the rounds' limits; null where the roofline addon is not built. */
	readonly roofline: RooflineFigures | null;
	/**
	 * One a scenario: its median round; but latencies, parts of a limit, and what the broker used are
	 * each the median of all rounds.
	 */
	readonly results: readonly ScenarioResult[];
}

export interface Machine {
	readonly cpu: string;
	readonly cpus: number;
	readonly memory_bytes: number;
	readonly operating_system: string;
	readonly node: string;
	/** Type of the file system that data was written to, as its magic number in hexadecimal. */
	readonly file_system: string;
	/** Load average of the last minute when the run began: what else the machine was doing. */
	readonly load_average: number;
	/** Whether it is a virtual machine that gives free memory back to its host within seconds. */
	readonly reports_free_pages?: boolean;
}

/** What the hardware does at best, measured in the same run. Rates are bytes per second. */
export interface RooflineFigures {
	readonly copy: number;
	readonly crc32c: number;
	/** Fresh pages of a mapping, checksum included. */
	readonly mapped_store: number;
	/** The same through pwrite, into a file that grows. */
	readonly pwrite_store: number;
	/** One stream of 1 MiB writes, each followed by fdatasync. */
	readonly sync_stream: number;
	/** Acked requests from loopback TCP through CRC32C into a file, by a bare loop, and its cost. */
	readonly loopback_receive: number;
	readonly loopback_receive_cpu_seconds_per_gib: number;
	/** From a mapped file to loopback TCP. */
	readonly loopback_send: number;
	readonly loopback_send_cpu_seconds_per_gib: number;
	/** The same by sendfile: on Linux, and not in files of before it was measured. */
	readonly loopback_sendfile?: number;
	readonly loopback_sendfile_cpu_seconds_per_gib?: number;
	/** Median of an append of a small record with fdatasync, in microseconds, back to back. */
	readonly sync_us: number;
	/** The same at the pace of flushed acks; not in files of before it was measured. */
	readonly sync_paced_us?: number;
}

export interface ScenarioResult {
	readonly scenario: string;
	/** What an ack of its topic waits for. */
	readonly durability: "written" | "flushed";
	/** What carries the bytes: `uws`, `ws`, `kafka`, or null without a socket. */
	readonly transport: string | null;
	readonly record_bytes: number;
	/** Records of the timed part. */
	readonly records: number;
	/** How long it was: it ends early where so much was stored as the profile allows. */
	readonly seconds: number;
	readonly records_per_second: number;
	/** Values only, without what the protocol adds. */
	readonly bytes_per_second: number;
	/** What rounds are ordered and runs are compared by. */
	readonly figure: Figure;
	readonly latency: Latency | null;
	/** Other latencies of the same round that say what `latency` is worth. */
	readonly beside: Beside | null;
	/** Null where no limit applies, or it was not measured. */
	readonly roofline: RooflineShare | null;
	readonly broker: ProcessCost | null;
	/**
	 * The broker's CPU time as a multiple of that of a bare loop that moves the same bytes; null
	 * where none does the same, undefined in files of before it was kept.
	 */
	readonly cpu_beside_bare_loop?: number | null;
	readonly client_cpu_seconds: number;
	/** Its place among scenarios that differ only in how many things there are. */
	readonly curve: CurvePoint | null;
	/** What else was measured. */
	readonly extras: readonly Extra[];
	/** Records moved by when, in seconds from the start of the timed part; empty for latencies. */
	readonly timeline: readonly (readonly [seconds: number, records: number])[];
	/** Of a load that went on for long. */
	readonly soak?: Soak;
	readonly verified: Verified;
	readonly rounds: readonly RoundFigure[];
}

export interface Figure {
	readonly name: "records/s" | "p50" | "p99" | "p99.9" | "time" | "memory" | "CPU";
	readonly unit: "records/s" | "us" | "ms" | "bytes";
	/** Null where it is a percentile that the samples do not carry. */
	readonly value: number | null;
	/** Which way is better. */
	readonly better: "more" | "less";
}

/**
 * What one round found. What is optional is not in files of before it was kept; null is what was
 * not measured, or what does not apply.
 */
export interface RoundFigure {
	/** That of the scenario's figure. */
	readonly value: number | null;
	/** The part of its own round's limit that it is. */
	readonly percent: number | null;
	/** Of the broker; null also where the load is too light to tell. */
	readonly cpu_us_per_record: number | null;
	readonly cpu_seconds_per_gib?: number | null;
	/** The same as a multiple of what the bare loop needed in this round. */
	readonly cpu_beside_bare_loop?: number | null;
	/** Length of the timed part. */
	readonly seconds?: number;
	readonly p50_us?: number | null;
	readonly p99_us?: number | null;
	/** Of what was measured beside. */
	readonly beside_p50_us?: number | null;
	readonly beside_p99_us?: number | null;
}

/**
 * In microseconds, from when a message was due to when its answer was there. Null: fewer than ten
 * samples lie beyond the percentile.
 */
export interface Latency {
	readonly p50_us: number | null;
	readonly p90_us: number | null;
	readonly p99_us: number | null;
	readonly p999_us: number | null;
	readonly p9999_us: number | null;
	readonly max_us: number;
	/** Percentiles, ever closer to 100, as far as ten samples lie beyond them; of one round. */
	readonly distribution: readonly (readonly [percentile: number, us: number])[];
}

export interface Beside {
	readonly name: string;
	readonly latency: Latency;
}

export interface CurvePoint {
	/** Of what there are more and more. */
	readonly of: string;
	/** How many there were: fewer than the name says where the profile allows no more. */
	readonly count: number;
}

export interface Extra {
	readonly name: string;
	readonly unit: "bytes" | "us" | "ms";
	readonly value: number;
}

/** A long run, cut into windows. */
export interface Soak {
	/** What the machine did before, as fast as it could: the load is a part of it. */
	readonly full_speed_records_per_second: number;
	readonly window_seconds: number;
	readonly windows: readonly SoakWindow[];
	readonly trends: readonly Trend[];
}

/** Null: too few records were due in it, or the system does not tell. */
export interface SoakWindow {
	readonly ends_at_seconds: number;
	readonly p50_us: number | null;
	readonly p99_us: number | null;
	readonly p999_us: number | null;
	/** Of the broker, as the mean of some moments. */
	readonly anonymous_bytes: number | null;
	readonly open_files: number | null;
}

/** Whether something grew from the first window to the last. */
export interface Trend {
	readonly what: "p50" | "p99" | "p99.9" | "memory" | "open files";
	/** In the unit of the windows. */
	readonly median: number | null;
	/** Over the whole run, as a part of the median, with its 95 % interval. */
	readonly change: { readonly median: number; readonly low: number; readonly high: number } | null;
	readonly verdict: "steady" | "grows" | "inconclusive";
}

/** 100 per cent is the limit: throughput as a part of it, or the limit as a part of a latency. */
export interface RooflineShare {
	readonly limit: string;
	readonly value: number;
	readonly unit: "bytes/s" | "us" | "ms";
	readonly percent: number;
}

export interface ProcessCost {
	/** User and system, of the timed part. */
	readonly cpu_seconds: number;
	readonly cpu_seconds_per_gib: number;
	readonly cpu_us_per_record: number;
	/** Largest anonymous memory seen. */
	readonly anonymous_bytes_max: number;
}

/** What was compared with what had been sent: everything, warm-up included. */
export interface Verified {
	readonly records: number;
	/** Of what was read back, in order: offsets and values, or batches as they are stored. */
	readonly sha256: string;
}

/** Parses a file of results. Throws Error for anything else, and for a schema not read here. */
export function parseResults(text: string, name: string): BenchResults {
	return parseOfSchema(text, name, RESULTS_SCHEMA, SCHEMA_BEFORE);
}

/** Parses a file that says of which schema it is. Throws Error for any but those wanted. */
export function parseOfSchema<Results extends { readonly schema: string }>(
	text: string,
	name: string,
	...wanted: readonly Results["schema"][]
): Results {
	let results: Partial<Results> | null;
	try {
		results = JSON.parse(text) as Partial<Results> | null;
	} catch (error) {
		throw new Error(`${name} is not JSON`, { cause: error });
	}
	const schema: unknown = results?.schema;
	if (!wanted.some((each) => each === schema)) {
		const found = typeof schema === "string" ? `has schema ${schema}` : "has no schema";
		throw new Error(`${name} ${found}, and only ${wanted[0]} is read here: measure it anew`);
	}
	return results as Results;
}
