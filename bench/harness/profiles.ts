/** How long and how large a run is. */
export interface Profile {
	readonly name: string;
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
	/** Page cache that is touched before anything is measured. */
	readonly warmedBytesMax: number;
	readonly rooflineBytes: number;
	readonly rooflineSyncs: number;
}

const MEBIBYTE = 1_048_576;
const GIBIBYTE = 1_024 * MEBIBYTE;

export const PROFILES = {
	/** Seconds for everything: shows that it works, measures nothing worth keeping. */
	quick: {
		name: "quick",
		seconds: 0.1,
		warmUpSeconds: 0.05,
		rounds: 1,
		storedBytesMax: 8 * MEBIBYTE,
		warmedBytesMax: 8 * MEBIBYTE,
		rooflineBytes: 8 * MEBIBYTE,
		rooflineSyncs: 8,
	},
	/** Ends within a minute. */
	ci: {
		name: "ci",
		seconds: 1.5,
		warmUpSeconds: 0.5,
		rounds: 1,
		storedBytesMax: GIBIBYTE,
		warmedBytesMax: 2 * GIBIBYTE,
		rooflineBytes: 512 * MEBIBYTE,
		rooflineSyncs: 200,
	},
	/** For figures to be quoted. */
	standard: {
		name: "standard",
		seconds: 4,
		warmUpSeconds: 1,
		rounds: 3,
		storedBytesMax: 2 * GIBIBYTE,
		warmedBytesMax: Number.POSITIVE_INFINITY,
		rooflineBytes: GIBIBYTE,
		rooflineSyncs: 500,
	},
} as const satisfies Record<string, Profile>;

export type ProfileName = keyof typeof PROFILES;
