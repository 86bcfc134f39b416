/**
 * Trace context in record headers. OpenTelemetry's `propagation` reads and writes plain objects of
 * texts; so this needs no library, and serves others, too.
 */
import type { Header, HeadersToSend } from "./records.ts";

/** Header names with their values as text. */
export type Carrier = Record<string, string>;

/**
 * Writes the context that it is called in: `(carrier) => propagation.inject(context.active(),
 * carrier)`.
 */
export type Propagate = (carrier: Carrier) => void;

/** What a record's headers say, for `propagation.extract`; of a name that repeats, the last. */
export function carrierOf(record: { readonly headers: readonly Header[] }): Carrier {
	const decoder = new TextDecoder();
	// Headers may have any name.
	const carrier: Carrier = Object.create(null);
	for (const [name, value] of record.headers) {
		if (value !== null) carrier[name] = decoder.decode(value);
	}
	return carrier;
}

/** The headers with the context behind them, but for what they say themselves. */
export function withContext(
	headers: HeadersToSend | undefined,
	propagate: Propagate,
): HeadersToSend | undefined {
	const carrier: Carrier = {};
	propagate(carrier);
	const written = Object.entries(carrier);
	if (written.length === 0) return headers;
	const own = headerEntries(headers ?? []);
	const names = new Set(own.map(([name]) => name));
	return [...own, ...written.filter(([name]) => !names.has(name))];
}

/** Headers as pairs, however they were given. */
export function headerEntries(
	headers: HeadersToSend,
): readonly (readonly [name: string, value: string | Uint8Array | null])[] {
	return Array.isArray(headers)
		? (headers as readonly (readonly [string, string | Uint8Array | null])[])
		: Object.entries(headers);
}
