/** How long and how large a run is. */
import type { Tier } from "./scenario.ts";

export interface Profile {
	readonly name: string;
	/** The scenarios that are run: these tiers. */
	readonly tiers: readonly Tier[];
	/** Length of each timed part. */
	readonly seconds: number;
	/** The same load before it, not counted: compilers and buffers settle. */
	readonly warmUpSeconds: number;
	/** Every scenario is run so many times, all of them before any is repeated. */
	readonly rounds: number;
	/**
	 * Values that one scenario stores at most: a timed part ends there, too. It stays below what the
	 * kernel lets lie dirty, so that its throttling is not what is measured.
	 */
	readonly storedBytesMax: number;
	/** Values that lie in the log of a broker whose start after a kill is measured. */
	readonly startBytes: number;
	/** How often it is started in one round. */
	readonly starts: number;
	/** Connections, partitions and subscribers that one scenario has at most. */
	readonly countMax: number;
	/** Page cache that is touched before anything is measured. */
	readonly warmedBytesMax: number;
	/** What a limit of moving bytes is measured with: where there is time, as much as is stored. */
	readonly rooflineBytes: number;
	readonly rooflineSyncs: number;
}

const MEBIBYTE = 1_048_576;
const GIBIBYTE = 1_024 * MEBIBYTE;

/** Enough rounds for an interval of what they have in common, and for one without the worst. */
const ROUNDS = 6;
const ROUNDS_WITHOUT_WORST = 9;

export const PROFILES = {
	/** Seconds for everything: shows that it works, measures nothing worth keeping. */
	quick: {
		name: "quick",
		tiers: ["ci", "standard", "full", "soak"],
		seconds: 0.1,
		warmUpSeconds: 0.05,
		rounds: 1,
		storedBytesMax: 4 * MEBIBYTE,
		startBytes: 4 * MEBIBYTE,
		starts: 1,
		countMax: 8,
		warmedBytesMax: 4 * MEBIBYTE,
		rooflineBytes: 4 * MEBIBYTE,
		rooflineSyncs: 8,
	},
	/** Short rounds, for many of them: two builds compared within minutes. */
	gate: {
		name: "gate",
		tiers: ["ci"],
		seconds: 0.4,
		warmUpSeconds: 0.2,
		rounds: ROUNDS_WITHOUT_WORST,
		storedBytesMax: 256 * MEBIBYTE,
		startBytes: 64 * MEBIBYTE,
		starts: 1,
		countMax: 1_000,
		warmedBytesMax: 384 * MEBIBYTE,
		rooflineBytes: 96 * MEBIBYTE,
		rooflineSyncs: 40,
	},
	/** Ends within a minute. */
	ci: {
		name: "ci",
		tiers: ["ci"],
		seconds: 1,
		warmUpSeconds: 0.4,
		rounds: 1,
		storedBytesMax: 512 * MEBIBYTE,
		startBytes: 512 * MEBIBYTE,
		starts: 3,
		countMax: 10_000,
		warmedBytesMax: GIBIBYTE,
		rooflineBytes: 256 * MEBIBYTE,
		rooflineSyncs: 200,
	},
	/** A few minutes: the figures that most people ask for. */
	standard: {
		name: "standard",
		tiers: ["ci", "standard"],
		seconds: 1.5,
		warmUpSeconds: 0.5,
		rounds: ROUNDS,
		storedBytesMax: GIBIBYTE,
		startBytes: GIBIBYTE,
		starts: 3,
		countMax: 10_000,
		warmedBytesMax: 4 * GIBIBYTE,
		rooflineBytes: GIBIBYTE,
		rooflineSyncs: 500,
	},
	/** Everything, for figures to be quoted. */
	full: {
		name: "full",
		tiers: ["ci", "standard", "full"],
		seconds: 4,
		warmUpSeconds: 1,
		rounds: ROUNDS,
		storedBytesMax: 2 * GIBIBYTE,
		startBytes: 10 * GIBIBYTE,
		starts: 3,
		countMax: 10_000,
		warmedBytesMax: Number.POSITIVE_INFINITY,
		rooflineBytes: GIBIBYTE,
		rooflineSyncs: 500,
	},
	/** One load for twenty minutes: whether anything grows. */
	soak: {
		name: "soak",
		tiers: ["soak"],
		seconds: 1_200,
		warmUpSeconds: 10,
		rounds: 1,
		storedBytesMax: GIBIBYTE,
		startBytes: GIBIBYTE,
		starts: 1,
		countMax: 10_000,
		warmedBytesMax: 4 * GIBIBYTE,
		rooflineBytes: 256 * MEBIBYTE,
		rooflineSyncs: 200,
	},
} as const satisfies Record<string, Profile>;

export type ProfileName = keyof typeof PROFILES;
