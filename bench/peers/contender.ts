/** Who is measured: brokers in processes of their own, and what is done with them. */
import type { Payload } from "../harness/payload.ts";
import type { Durability } from "../harness/scenario.ts";
import type { MeasuredUsage } from "../harness/server-process.ts";
import type { ContenderDescription, PeerName, PeerRound } from "./results.ts";

/** A broker's process and where it serves. */
export interface Endpoint {
	readonly address: string;
	/** Begins a measurement; calling what it returns ends it. */
	measure(): () => MeasuredUsage;
}

export interface Contender extends ContenderDescription {
	/** Where topics of this durability are. */
	endpoint(durability: Durability): Endpoint;
}

export interface OpenGroup {
	/** Millrace is the first. */
	readonly contenders: readonly Contender[];
	close(): Promise<void>;
}

/** Millrace beside one peer. */
export interface PeerGroup {
	readonly peer: PeerName;
	readonly scenarios: readonly PeerScenario[];
	/**
	 * Starts all brokers of the group with their data below an existing directory; Millrace is the
	 * first. Adds to `stops` what is to be done in the end, whatever comes.
	 */
	start(directory: string, stops: (() => Promise<void>)[]): Promise<readonly Contender[]>;
}

export interface PeerScenario {
	/** Part of the results' schema. */
	readonly name: string;
	/** One line for people. */
	readonly about: string;
	readonly durability: Durability | null;
	readonly recordBytes: number;
	/** What makes the load, with its version. */
	load(): string;
	/**
	 * One round of one contender: leaves nothing behind in it, and rejects when what is read is not
	 * what was sent.
	 */
	run(contender: Contender, extent: Extent, directory: string): Promise<PeerRound>;
}

/** Starts a group; where one of its brokers does not start, the others are stopped again. */
export async function openGroup(group: PeerGroup, directory: string): Promise<OpenGroup> {
	const stops: (() => Promise<void>)[] = [];
	const close = async (): Promise<void> => {
		for (const stop of stops.reverse()) await stop();
	};
	try {
		return { contenders: await group.start(directory, stops), close };
	} catch (error) {
		await close();
		throw error;
	}
}

/** How long and how much one round is. */
export interface Extent {
	readonly seconds: number;
	readonly warmUpSeconds: number;
	/** Values that one round stores at most. */
	readonly storedBytesMax: number;
}

/** A log that is read again and again has this part of what may be stored, at most. */
const LOG_PART = 1 / 8;

/** So many records that log has at most. */
export function logRecords({ storedBytesMax }: Extent, { recordBytes }: Payload): number {
	return Math.floor((storedBytesMax * LOG_PART) / recordBytes);
}

/** The end of a scenario's name. */
export function sizeName(recordBytes: number): string {
	return recordBytes < 1_024 ? `${recordBytes}b` : `${recordBytes / 1_024}kib`;
}
