/** The body of one HTTP request, in pieces: bounded by itself, and with all others together. */
import { LIMITS } from "../limits.ts";
import { type HttpResponse, problem } from "./http.ts";

/** Where the body of one request comes from. */
export interface BodySource {
	/**
	 * Has `take` called with each piece, whose memory is only valid during the call. Asked for in
	 * the call of `answer`, or not at all.
	 */
	read(take: (piece: Uint8Array, isLast: boolean) => void): void;
}

/**
 * What all bodies hold: those that come, and those whose requests are worked on. Where it is too
 * much, those go first whose senders are not known yet, the oldest of them before the others: who
 * guesses passwords waits for long, and others for a moment.
 */
export class HeldBodies {
	bytes = 0;
	/** That hold something; the oldest first. */
	readonly ofUnknown = new Set<IncomingBody>();
}

export class IncomingBody {
	/** Bytes that have come, of one that is refused too. */
	receivedBytes = 0;
	readonly #held: HeldBodies;
	readonly #bytesMax: number;
	readonly #timer: NodeJS.Timeout;
	/** Resolves when all of it has come, or no more of it is taken. */
	readonly #end: Promise<void>;
	readonly #settle: () => void;
	#refusal: HttpResponse | undefined;
	#isKnown = false;
	#pieces: Uint8Array[] = [];
	#heldBytes = 0;
	#isTaken = true;

	/** Begins to read. */
	constructor(bytesMax: number, held: HeldBodies, source: BodySource) {
		this.#bytesMax = bytesMax;
		this.#held = held;
		let settle = (): void => undefined;
		this.#end = new Promise((resolve) => {
			settle = resolve;
		});
		this.#settle = settle;
		// Ends the wait for a client that has gone away, too.
		this.#timer = setTimeout(() => this.#refuse(TOO_SLOW), LIMITS.httpBodyMsMax);
		source.read((piece, isLast) => this.#take(piece, isLast));
	}

	/** Resolves to the whole, or to what is wrong with it. Asked for when it is known who asks. */
	async whole(): Promise<Uint8Array | HttpResponse> {
		this.#isKnown = true;
		this.#held.ofUnknown.delete(this);
		await this.#end;
		if (this.#refusal !== undefined) return this.#refusal;
		const whole = Buffer.concat(this.#pieces);
		this.#pieces = [];
		return whole;
	}

	/** Nobody needs it any more: its memory counts no longer, and what still comes is passed over. */
	letGo(): void {
		clearTimeout(this.#timer);
		this.#isTaken = false;
		this.#pieces = [];
		this.#held.ofUnknown.delete(this);
		this.#held.bytes -= this.#heldBytes;
		this.#heldBytes = 0;
	}

	#take(piece: Uint8Array, isLast: boolean): void {
		if (!this.#isTaken) return;
		this.receivedBytes += piece.length;
		if (this.receivedBytes > this.#bytesMax) {
			this.#refuse(tooLarge(this.#bytesMax));
			return;
		}
		if (!this.#isKnown && piece.length > 0) this.#held.ofUnknown.add(this);
		this.#heldBytes += piece.length;
		this.#held.bytes += piece.length;
		while (this.#held.bytes > LIMITS.httpBodiesBytesMax) {
			const [oldest = this] = this.#held.ofUnknown;
			oldest.#refuse(TOO_MANY);
			if (oldest === this) return;
		}
		this.#pieces.push(Buffer.from(piece));
		if (!isLast) return;
		clearTimeout(this.#timer);
		this.#isTaken = false;
		this.#settle();
	}

	#refuse(refusal: HttpResponse): void {
		this.letGo();
		this.#refusal = refusal;
		this.#settle();
	}
}

/** What is answered to a body that is too long. */
export const tooLarge = (bytesMax: number): HttpResponse =>
	problem(413, `a body has at most ${bytesMax} bytes here`);
const TOO_SLOW = problem(408, `a body has to come within ${LIMITS.httpBodyMsMax} ms`);
const TOO_MANY = problem(503, "too many bodies come at the same time; try again later", {
	"retry-after": "1",
});
