/** Bytes as JSON has them: text where they are UTF-8, else base64. */
export type BytesJson = string | { readonly base64: string } | null;

/** A consumed record as JSON has it. */
export interface RecordJson<Value> {
	readonly topic: string;
	readonly partition: number;
	readonly offset: number;
	/** Milliseconds since 1970. */
	readonly timestamp: number;
	readonly key: BytesJson;
	/** As the codec reads it, but for bytes. */
	readonly value: Value | BytesJson;
	readonly headers: readonly (readonly [name: string, value: BytesJson])[];
}

const STRICT_TEXT = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

export function bytesJson(bytes: Uint8Array | null): BytesJson {
	if (bytes === null) return null;
	try {
		return STRICT_TEXT.decode(bytes);
	} catch {
		// Browsers have no Buffer, and `btoa` takes characters.
		const characters = Array.from(bytes, (byte) => String.fromCharCode(byte));
		return { base64: btoa(characters.join("")) };
	}
}
