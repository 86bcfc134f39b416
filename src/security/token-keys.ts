/**
 * The keys that tokens are signed with: a JSON Web Key Set, by URL or from a file. It is read at
 * the start, now and then, and when a token names a key that is not in it, which happens when keys
 * change; then not more often than every half minute, whatever tokens come. Where it cannot be had
 * those keys stay that were there before.
 */
import { readFile, stat } from "node:fs/promises";
import { createRemoteJWKSet, customFetch, type JWTVerifyGetKey } from "jose";

import type { Clock } from "../clock.ts";
import { LIMITS } from "../limits.ts";

/** Where it is said that keys cannot be had; pino is one. */
export interface TokenKeysLog {
	warn(details: object, message: string): void;
}

export interface TokenKeysOptions {
	/** https, http of the same machine, or file. */
	readonly url: URL;
	readonly refreshMs: number;
	readonly clock: Clock;
	readonly log: TokenKeysLog;
}

/** How long no keys are asked for because of a token, when they have just come, in milliseconds. */
const COOL_DOWN_MS = 30_000;
/** The same when they could not be had. */
const FAILED_COOL_DOWN_MS = 1_000;

/** The keys could not be had. */
export class KeysUnavailableError extends Error {
	override readonly name = "KeysUnavailableError";
}

export class TokenKeys {
	readonly #options: TokenKeysOptions;
	readonly #set: ReturnType<typeof createRemoteJWKSet>;
	/** By the monotonic clock. */
	#lastFailureMs = -Infinity;
	#cancelRefresh: () => void = () => undefined;

	constructor(options: TokenKeysOptions) {
		this.#options = options;
		this.#set = createRemoteJWKSet(options.url, {
			timeoutDuration: LIMITS.jwksMsMax,
			cooldownDuration: COOL_DOWN_MS,
			cacheMaxAge: Infinity,
			[customFetch]: (url, init) => this.#fetch(url, init),
		});
	}

	/** Finds the key of a token. Rejects with KeysUnavailableError, or as `jose` does. */
	readonly find: JWTVerifyGetKey = (header, token) => this.#set(header, token);

	/** Reads the keys, now and from now on; resolves when that is done or has failed. */
	async refresh(): Promise<void> {
		try {
			await this.#set.reload();
		} catch (error) {
			const url = this.#options.url.href;
			this.#options.log.warn({ err: error, url }, "the keys of tokens could not be read");
		}
		this.#cancelRefresh();
		const { clock, refreshMs } = this.#options;
		this.#cancelRefresh = clock.after(refreshMs, () => void this.refresh());
	}

	close(): void {
		this.#cancelRefresh();
	}

	async #fetch(url: string, init: RequestInit): Promise<Response> {
		const { clock } = this.#options;
		if (clock.monotonicMs() - this.#lastFailureMs < FAILED_COOL_DOWN_MS) {
			throw new KeysUnavailableError("the keys of tokens could not be read a moment ago");
		}
		try {
			const { protocol } = this.#options.url;
			return protocol === "file:" ? await readKeySet(new URL(url)) : await fetchKeySet(url, init);
		} catch (cause) {
			this.#lastFailureMs = clock.monotonicMs();
			throw new KeysUnavailableError(`the keys of tokens: ${(cause as Error).message}`, { cause });
		}
	}
}

async function readKeySet(url: URL): Promise<Response> {
	const { size } = await stat(url);
	if (size > LIMITS.jwksBytesMax) throw tooLarge();
	return keySet(await readFile(url));
}

async function fetchKeySet(url: string, init: RequestInit): Promise<Response> {
	const response = await fetch(url, init);
	if (response.status !== 200) {
		await response.body?.cancel();
		throw new Error(`the answer has status ${response.status}`);
	}
	const pieces: Uint8Array[] = [];
	let bytes = 0;
	for await (const piece of response.body ?? []) {
		bytes += piece.length;
		// Leaving the loop ends the transfer.
		if (bytes > LIMITS.jwksBytesMax) throw tooLarge();
		pieces.push(piece);
	}
	return keySet(Buffer.concat(pieces));
}

/** Checked here, so that what is none counts as what could not be had. */
function keySet(bytes: Uint8Array): Response {
	const { keys } = JSON.parse(Buffer.from(bytes).toString()) as { keys?: unknown };
	if (!Array.isArray(keys)) throw new Error("it is no JSON Web Key Set");
	return new Response(bytes);
}

function tooLarge(): Error {
	return new Error(`it has more than ${LIMITS.jwksBytesMax} bytes`);
}
