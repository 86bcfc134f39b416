/**
 * What a comparison with peers found, as it is written to JSON. Readers check `schema`: a field is
 * added without changing it, and one that changes its meaning or goes changes the number.
 */
import type { Machine, ProcessCost, Verified } from "../harness/results.ts";

export const PEERS_SCHEMA = "millrace-peers/1";

export const PEERS = ["kafka", "nats", "redis"] as const;
export type PeerName = (typeof PEERS)[number];

export type ContenderName = "millrace" | "kafka" | "nats" | "nats-websocket" | "redis";

export interface PeersResults {
	readonly schema: typeof PEERS_SCHEMA;
	/** ISO 8601, UTC. */
	readonly started_at: string;
	/** Several, with && between them, where runs have gone on with each other. */
	readonly command: string;
	/** Length of each timed part, which ends earlier where `stored_bytes_max` were produced. */
	readonly seconds: number;
	readonly stored_bytes_max: number;
	/** That every scenario is to have: an interrupted run's have fewer. */
	readonly rounds: number;
	/** Its load average is the highest before any run. */
	readonly machine: Machine;
	readonly groups: readonly GroupResults[];
}

/** Millrace beside one peer, both running all the time, one of them under load. */
export interface GroupResults {
	readonly peer: PeerName;
	/** Page cache that was filled and given back before measuring, so that no write is the first. */
	readonly page_cache_warmed_bytes: number;
	readonly contenders: readonly ContenderDescription[];
	readonly scenarios: readonly PeerScenarioResults[];
}

export interface ContenderDescription {
	readonly contender: ContenderName;
	/** For people. */
	readonly title: string;
	readonly version: string;
	/** What its ack waits for, by its own settings. */
	readonly written: string;
	readonly flushed: string;
}

export interface PeerScenarioResults {
	readonly scenario: string;
	readonly about: string;
	/** What makes the load, with its version. */
	readonly load: string;
	/** Null where nothing is acknowledged. */
	readonly durability: "written" | "flushed" | null;
	readonly record_bytes: number;
	/** Millrace is the first. */
	readonly contenders: readonly ContenderRounds[];
}

export interface ContenderRounds {
	readonly contender: ContenderName;
	/** In the order in which they were run; those of one number ran beside each other. */
	readonly rounds: readonly PeerRound[];
}

export interface PeerRound {
	/** Records of the timed part. */
	readonly records: number;
	readonly seconds: number;
	readonly records_per_second: number;
	/** Values only, without what the protocol adds. */
	readonly bytes_per_second: number;
	/** Null where the system does not tell. */
	readonly broker: ProcessCost | null;
	/** Null where the load is a program that starts a virtual machine first. */
	readonly client_cpu_seconds: number | null;
	/**
	 * Rounds of the scenario that the same process of the broker had behind it when it was counted
	 * first; not in files of before they were told.
	 */
	readonly uncounted_rounds?: number;
	readonly verified: Verified;
}
