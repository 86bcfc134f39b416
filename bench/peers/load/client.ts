/** What a load needs of a client, whoever's it is. */
import type { RecordHash } from "../../harness/payload.ts";
import type { LoadOrder, ReadStyle } from "./order.ts";

/** What may be on its way unacknowledged, whoever's client it is: what `millrace produce` has. */
export const UNACKNOWLEDGED_BYTES_MAX = 8_388_608;

export interface LoadClient {
	/** A topic, stream or key with the durability that the order asks for. */
	create(order: LoadOrder): Promise<void>;
	remove(topic: string): Promise<void>;
	/** Hands a value over to be sent; null where the next may follow at once. */
	send(value: Uint8Array): Promise<void> | null;
	/** Resolves when everything is acknowledged, and rejects when something was refused. */
	acknowledged(): Promise<void>;
	/** Reads what is there from the beginning, `records` of them; `hash` may be null. */
	read(style: ReadStyle, records: number, hash: RecordHash | null): Promise<Sums>;
	close(): Promise<void>;
}

export interface Sums {
	records: number;
	bytes: number;
}

/**
 * Acks that are waited for, each a promise of its own: `send` waits while a window of them is
 * missing. It is the caller's choice, where fewer than UNACKNOWLEDGED_BYTES_MAX are faster.
 */
export class AckWindow {
	readonly #recordsMax: number;
	#missing = 0;
	#failure: unknown = null;
	#onFewer: (() => void) | null = null;
	/** As many as `#onFewer` waits for. */
	#fewer = 0;

	constructor(recordBytes: number, recordsMax = Number.POSITIVE_INFINITY) {
		this.#recordsMax = Math.min(recordsMax, Math.floor(UNACKNOWLEDGED_BYTES_MAX / recordBytes));
	}

	add(ack: Promise<unknown>): void {
		this.#missing += 1;
		ack.then(this.#settle, this.#fail);
	}

	/** Null where more may be sent at once. */
	room(): Promise<void> | null {
		return this.#missing < this.#recordsMax ? null : this.#atMost(this.#recordsMax >> 1);
	}

	/** Resolves when no ack is missing any more, and rejects when one was a refusal. */
	async empty(): Promise<void> {
		await this.#atMost(0);
		if (this.#failure !== null) {
			throw new Error("a record was refused", { cause: this.#failure });
		}
	}

	#atMost(missing: number): Promise<void> {
		if (this.#missing <= missing) return Promise.resolve();
		return new Promise((resolve) => {
			this.#fewer = missing;
			this.#onFewer = resolve;
		});
	}

	readonly #settle = (): void => {
		this.#missing -= 1;
		if (this.#onFewer === null || this.#missing > this.#fewer) return;
		const onFewer = this.#onFewer;
		this.#onFewer = null;
		onFewer();
	};

	readonly #fail = (failure: unknown): void => {
		this.#failure ??= failure;
		this.#settle();
	};
}
