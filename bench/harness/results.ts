/**
 * What a run of the benchmarks found, as it is written to JSON. Readers check `schema`: a field is
 * added without changing it, and one that changes its meaning or goes changes the number.
 */
export const RESULTS_SCHEMA = "millrace-bench/1";

export interface BenchResults {
	readonly schema: typeof RESULTS_SCHEMA;
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
	/** Null where the roofline addon is not built. */
	readonly roofline: RooflineFigures | null;
	/** One a scenario: its median round. */
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
}

/** What the hardware does at best, measured in the same run. Rates are bytes per second. */
export interface RooflineFigures {
	readonly copy: number;
	readonly crc32c: number;
	/** Fresh pages of a mapping, checksum included. */
	readonly mapped_store: number;
	/** The same through pwrite. */
	readonly pwrite_store: number;
	/** One stream of 1 MiB writes, each followed by fdatasync. */
	readonly sync_stream: number;
	/** From loopback TCP through CRC32C into a file, by a bare loop, and what that costs. */
	readonly loopback_receive: number;
	readonly loopback_receive_cpu_seconds_per_gib: number;
	/** From a mapped file to loopback TCP. */
	readonly loopback_send: number;
	readonly loopback_send_cpu_seconds_per_gib: number;
	/** Median of an append of a small record with fdatasync, in microseconds. */
	readonly sync_us: number;
}

export interface ScenarioResult {
	readonly scenario: string;
	/** What an ack waits for; null where nothing is acknowledged. */
	readonly durability: "written" | "flushed" | null;
	/** What carries the bytes: `uws`, `ws`, or null without a socket. */
	readonly transport: string | null;
	readonly record_bytes: number;
	/** Records of the timed part. */
	readonly records: number;
	readonly seconds: number;
	readonly records_per_second: number;
	/** Values only, without what the protocol adds. */
	readonly bytes_per_second: number;
	readonly latency: Latency | null;
	/** The same messages, paced alike, through a bare echo of the same transport. */
	readonly echo: Latency | null;
	/** Null where it was not measured. */
	readonly roofline: RooflineShare | null;
	readonly broker: ProcessCost | null;
	readonly client_cpu_seconds: number;
	readonly verified: Verified;
	/** The figure that the rounds are compared by, one a round: records per second, or p50. */
	readonly round_figures: readonly number[];
}

/** In microseconds, from when a message was due to when its answer was there. */
export interface Latency {
	readonly p50_us: number;
	readonly p90_us: number;
	readonly p99_us: number;
	readonly p999_us: number;
	readonly p9999_us: number;
	readonly max_us: number;
}

/** 100 per cent is the limit: throughput as a part of it, or the limit as a part of a latency. */
export interface RooflineShare {
	readonly limit: string;
	readonly value: number;
	readonly unit: "bytes/s" | "us";
	readonly percent: number;
}

export interface ProcessCost {
	/** User and system, of the timed part. */
	readonly cpu_seconds: number;
	readonly cpu_seconds_per_gib: number;
	/** Largest anonymous memory seen. */
	readonly anonymous_bytes_max: number;
}

/** What was compared with what had been sent: everything, warm-up included. */
export interface Verified {
	readonly records: number;
	/** Of offset and value of every record, in order. */
	readonly sha256: string;
}
