/** What the hardware does at best, in the same run as the scenarios and on the same disk. */
import { join } from "node:path";
import { type LoopbackCost, loadRoofline } from "#roofline";

import type { Profile } from "./profiles.ts";
import type { RooflineFigures, RooflineShare } from "./results.ts";

const MEBIBYTE = 1_048_576;

/** What the limits are called, in results and tables. */
export const LIMIT = {
	mapped: "mapped store with CRC32C",
	pwrite: "pwrite with CRC32C",
	store: "mapped store or pwrite with CRC32C, the faster",
	syncStream: "1 MiB writes with fdatasync",
	receive: "loopback TCP to file",
	send: "mapped file to loopback TCP",
	sendfile: "file to loopback TCP by sendfile",
	sync: "fdatasync of a small append",
	syncPaced: "fdatasync of a small append, paced alike",
} as const;

/** Small records a second whose acks wait for the disk: of the scenario, and so of its limit. */
export const FLUSHED_PER_SECOND = 300;

/**
 * How often a rate is measured, the best of which is the limit: a single try tells as much of what
 * else the machine did as of what it can do.
 */
const TRIES = 3;

/** About what one record of 100 bytes is as a batch on disk. */
const SMALL_APPEND_BYTES = 180;

/**
 * Measures; null where the addon is not built. Blocks this thread. What was written or removed
 * before has to be on the disk already, or the limits are those of a busy one.
 */
export function measureRoofline(directory: string, profile: Profile): RooflineFigures | null {
	const roofline = loadRoofline();
	if (roofline === null) return null;
	const path = join(directory, "roofline");
	const { rooflineBytes: bytes, rooflineSyncs: syncs } = profile;
	const rounds = Math.max(1, Math.floor(bytes / MEBIBYTE));
	const pauseMs = 1_000 / FLUSHED_PER_SECOND;
	const fewer = Math.max(4, Math.floor(syncs / 4));
	// Before the others: a disk that forgets what large files had takes milliseconds for small syncs.
	const syncUs = median(roofline.syncLatency(path, SMALL_APPEND_BYTES, syncs));
	const syncPacedUs = median(roofline.syncLatency(path, SMALL_APPEND_BYTES, fewer, pauseMs));
	const streamUs = roofline.syncLatency(path, MEBIBYTE, fewer);
	const receive = bestLoop(tries(() => roofline.loopbackReceive(path, bytes)));
	const send = bestLoop(tries(() => roofline.loopbackSend(path, bytes)));
	const sendfiles = tries(() => roofline.loopbackSendfile(path, bytes)).filter(
		(one) => one !== null,
	);
	const sendfile = sendfiles.length === 0 ? null : bestLoop(sendfiles);
	const stored = (store: typeof roofline.pwriteStore) =>
		Math.max(...tries(() => store(path, bytes, true).firstBytesPerSecond));
	return {
		copy: roofline.copyRate(MEBIBYTE, rounds),
		crc32c: roofline.crc32cRate(MEBIBYTE, rounds),
		mapped_store: stored(roofline.mappedStore),
		pwrite_store: stored(roofline.pwriteStore),
		sync_stream: streamRate(MEBIBYTE, streamUs),
		loopback_receive: receive.bytesPerSecond,
		loopback_receive_cpu_seconds_per_gib: receive.cpuSecondsPerGib,
		loopback_send: send.bytesPerSecond,
		loopback_send_cpu_seconds_per_gib: send.cpuSecondsPerGib,
		...(sendfile !== null && {
			loopback_sendfile: sendfile.bytesPerSecond,
			loopback_sendfile_cpu_seconds_per_gib: sendfile.cpuSecondsPerGib,
		}),
		sync_us: syncUs,
		sync_paced_us: syncPacedUs,
	};
}

function tries<Measured>(measure: () => Measured): Measured[] {
	return Array.from({ length: TRIES }, measure);
}

/** The highest rate and the lowest cost. */
function bestLoop(all: readonly LoopbackCost[]): LoopbackCost {
	return {
		bytesPerSecond: Math.max(...all.map(({ bytesPerSecond }) => bytesPerSecond)),
		cpuSecondsPerGib: Math.min(...all.map(({ cpuSecondsPerGib }) => cpuSecondsPerGib)),
	};
}

/** Bytes a second of writes of one size; the slow ones count: who streams waits for them, too. */
export function streamRate(bytes: number, us: ArrayLike<number>): number {
	const total = Array.from(us).reduce((sum, one) => sum + one, 0);
	return (bytes * us.length) / (total / 1e6);
}

/** `achieved` bytes per second as a part of the faster way to get checked bytes into a file. */
export function shareOfStore(
	figures: RooflineFigures | null,
	achieved: number,
): RooflineShare | null {
	if (figures === null) return null;
	const { mapped_store: mapped, pwrite_store: pwrite } = figures;
	// One name for both: which is faster may change from round to round.
	return shareOfRate(LIMIT.store, Math.max(mapped, pwrite), achieved);
}

export function shareOfRate(limit: string, value: number, achieved: number): RooflineShare {
	return { limit, value, unit: "bytes/s", percent: (achieved / value) * 100 };
}

/** Null where either is a percentile that its samples do not carry. */
export function shareOfLatency(
	limit: string,
	value: number | null,
	achieved: number | null,
	unit: "us" | "ms" = "us",
): RooflineShare | null {
	if (value === null || achieved === null) return null;
	return { limit, value, unit, percent: (value / achieved) * 100 };
}

/** What the same bytes cost a loop that does nothing else; null where none does the same. */
export function bareLoopCost(
	share: RooflineShare | null,
	figures: RooflineFigures | null,
): number | null {
	switch (share?.limit) {
		case LIMIT.receive:
			return figures?.loopback_receive_cpu_seconds_per_gib ?? null;
		case LIMIT.send:
			return figures?.loopback_send_cpu_seconds_per_gib ?? null;
		default:
			return null;
	}
}

/** Figure by figure; null without any. */
export function medianRoofline(all: readonly RooflineFigures[]): RooflineFigures | null {
	const [first] = all;
	if (first === undefined) return null;
	const medians = Object.keys(first).map((name) => [
		name,
		median(all.flatMap((figures) => figures[name as keyof RooflineFigures] ?? [])),
	]);
	return Object.fromEntries(medians) as RooflineFigures;
}

/** Of an even number the higher one of the two in the middle. Throws RangeError without samples. */
export function median(samples: ArrayLike<number>): number {
	const sorted = Float64Array.from(samples).sort();
	const middle = sorted[sorted.length >> 1];
	if (middle === undefined) throw new RangeError("the median of nothing");
	return middle;
}
