/**
 * What this machine can do at best, measured by C++ that shares nothing with the storage core, and
 * what a file takes of its page cache. Every function blocks its thread until it is done; sizes are
 * bytes, at most 16 GiB; rounds are 1 to 1,000,000. A wrong argument throws RangeError or
 * TypeError, a failed system call an Error that names it.
 */
export interface Roofline {
	/**
	 * The CRC32C of the data, as an unsigned 32-bit number: proves that the measured code is right.
	 */
	crc32c(data: Uint8Array): number;
	/** CRC32C with the processor's instruction in three interleaved lanes, in bytes per second. */
	crc32cRate(bytes: number, rounds: number): number;
	/** memcpy between two buffers of this size, in bytes per second. */
	copyRate(bytes: number, rounds: number): number;
	/**
	 * Stores into a preallocated new file at `path` through a shared mapping, 1 MiB at a time, twice:
	 * the first time takes the page faults. The file must not exist and is removed. Nothing is
	 * synced.
	 */
	mappedStore(path: string, bytes: number, withCrc: boolean): StoreRates;
	/** The same through pwrite, into a file that grows and is allocated a little ahead. */
	pwriteStore(path: string, bytes: number, withCrc: boolean): StoreRates;
	/**
	 * Microseconds that each append of `bytes` with fdatasync takes in a preallocated new file, with
	 * a pause of so many milliseconds, at most 1,000, before each: a disk that has been idle answers
	 * later than one that is kept busy.
	 */
	syncLatency(path: string, bytes: number, rounds: number, pauseMs?: number): Float64Array;
	/**
	 * How much of the file at `path` is in the page cache, in whole pages; null on other systems than
	 * Linux. Throws for a file that may not be written: of some of those the system does not tell.
	 */
	residentBytes(path: string): number | null;
	/**
	 * Takes `bytes` from a loopback TCP connection, requests of 128 KiB of which another thread has
	 * eight under way, computes their CRC32C, stores them with pwrite into a new file at `path` that
	 * grows, as many as are there at a time, and acks each request.
	 */
	loopbackReceive(path: string, bytes: number): LoopbackCost;
	/**
	 * Sends a mapped file of `bytes`, in the page cache, over a loopback TCP connection: answers of
	 * 1 MiB, two of which another thread has asked for, that looks at each word.
	 */
	loopbackSend(path: string, bytes: number): LoopbackCost;
	/** The same by sendfile; null on other systems than Linux. */
	loopbackSendfile(path: string, bytes: number): LoopbackCost | null;
}

export interface StoreRates {
	readonly firstBytesPerSecond: number;
	readonly againBytesPerSecond: number;
}

export interface LoopbackCost {
	readonly bytesPerSecond: number;
	/** Of the thread that stores, or that sends the file: the other one's is not counted. */
	readonly cpuSecondsPerGib: number;
}

/** The roofline, or null where npm install could not build it (it said why) or had no need to. */
export function loadRoofline(): Roofline | null;
