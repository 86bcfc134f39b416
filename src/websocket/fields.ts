import { type DecodedMap, FrameError, type FrameReader } from "../protocol/reader.ts";

/**
 * The elements of one frame behind operation and id, in order. A handler takes those it knows, then
 * calls `end()`, which passes over trailing elements of newer versions and makes sure that the
 * frame is whole. Everything that can fail for the frame's sake has failed by then.
 */
export class Fields {
	readonly #reader: FrameReader;
	#left: number;

	constructor(reader: FrameReader, left: number) {
		this.#reader = reader;
		this.#left = left;
	}

	string(): string {
		return this.#take().string();
	}

	uint32(): number {
		return this.#take().uint32();
	}

	integer(): number {
		return this.#take().integer();
	}

	integerWithin(least: number, most: number): number {
		return this.#take().integerWithin(least, most);
	}

	/** A topic's name or alias. */
	nameOrAlias(): string | number {
		const value = this.#take().value();
		if (typeof value === "string") return value;
		if (typeof value === "number" && Number.isInteger(value) && value >= 0) return value;
		throw new FrameError("a topic's name or alias was expected", this.#reader.position);
	}

	value(): ReturnType<FrameReader["value"]> {
		return this.#take().value();
	}

	/** A map that may be nil or left out; then it is empty. */
	map(): DecodedMap {
		if (this.#left === 0) return Object.create(null) as DecodedMap;
		return this.#take().mapValue();
	}

	end(): void {
		while (this.#left > 0) this.#take().skip();
		this.#reader.end();
	}

	#take(): FrameReader {
		if (this.#left === 0) throw new FrameError("elements are missing", this.#reader.position);
		this.#left--;
		return this.#reader;
	}
}
