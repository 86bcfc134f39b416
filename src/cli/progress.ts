/**
 * One line on a terminal's stderr that shows how far long work has come; nothing at all elsewhere.
 */
const INTERVAL_MS = 200;

export class Progress {
	readonly #shows: boolean;
	readonly #verb: string;
	readonly #startedMs = performance.now();
	readonly #timer: NodeJS.Timeout | undefined;
	records = 0;
	bytes = 0;

	/**
	 * `verb` says what becomes of the records, such as "sent". `besideOutput`: records go to stdout,
	 * and nothing is shown where that is a terminal, too.
	 */
	constructor(verb: string, { besideOutput = false } = {}) {
		this.#verb = verb;
		this.#shows = process.stderr.isTTY === true && !(besideOutput && process.stdout.isTTY === true);
		if (this.#shows) this.#timer = setInterval(() => this.#draw(), INTERVAL_MS).unref();
	}

	/** Draws the last state and ends the line. */
	end(): void {
		if (!this.#shows) return;
		clearInterval(this.#timer);
		this.#draw();
		process.stderr.write("\n");
	}

	#draw(): void {
		const seconds = Math.max((performance.now() - this.#startedMs) / 1_000, 0.001);
		process.stderr.write(
			`\r\x1b[K${describeProgress(this.#verb, this.records, this.bytes, seconds)}`,
		);
	}
}

/** `1,234,567 records sent, 120.3 MB, 45.1 MB/s, 412,000 records/s` */
export function describeProgress(
	verb: string,
	records: number,
	bytes: number,
	seconds: number,
): string {
	const megabytes = (count: number) => `${(count / 1_000_000).toFixed(1)} MB`;
	const count = (value: number) => Math.round(value).toLocaleString("en");
	return (
		`${count(records)} records ${verb}, ${megabytes(bytes)}, ` +
		`${megabytes(bytes / seconds)}/s, ${count(records / seconds)} records/s`
	);
}
