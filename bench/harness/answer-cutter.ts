/** Cuts what a Kafka broker sends into answers: a 4-byte length, then that many bytes. */

const LENGTH_BYTES = 4;

/** More than any answer has that is asked for here. */
const ANSWER_BYTES_MAX = 16_777_216;

/** Larger answers share one memory: no piece of a stream completes two of them. */
const OWN_BYTES_MAX = 65_536;

export class AnswerCutter {
	readonly #onAnswer: (answer: Buffer) => void;
	readonly #length = Buffer.alloc(LENGTH_BYTES);
	#lengthFilled = 0;
	#answer: Buffer | null = null;
	#filled = 0;
	#shared = Buffer.alloc(0);

	/** `onAnswer` is told of each answer, without its length; it stays until more comes. */
	constructor(onAnswer: (answer: Buffer) => void) {
		this.#onAnswer = onAnswer;
	}

	/** Throws Error for a length that no answer has. */
	take(piece: Buffer): void {
		let at = 0;
		while (at < piece.length) {
			if (this.#answer === null) {
				const copied = piece.copy(this.#length, this.#lengthFilled, at);
				at += copied;
				this.#lengthFilled += copied;
				if (this.#lengthFilled < LENGTH_BYTES) return;
				this.#answer = this.#room(this.#length.readInt32BE(0));
				this.#lengthFilled = 0;
				this.#filled = 0;
			}
			const copied = piece.copy(this.#answer, this.#filled, at);
			at += copied;
			this.#filled += copied;
			if (this.#filled < this.#answer.length) return;
			const answer = this.#answer;
			this.#answer = null;
			this.#onAnswer(answer);
		}
	}

	#room(bytes: number): Buffer {
		if (bytes < 0 || bytes > ANSWER_BYTES_MAX) throw new Error(`an answer of ${bytes} bytes`);
		if (bytes <= OWN_BYTES_MAX) return Buffer.allocUnsafe(bytes);
		if (this.#shared.length < bytes) this.#shared = Buffer.allocUnsafeSlow(bytes);
		return this.#shared.subarray(0, bytes);
	}
}
