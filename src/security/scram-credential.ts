/**
 * What is kept of a password (RFC 5802, SHA-256: RFC 7677): enough to check it, too little to log
 * in with. Names and numbers of the mechanisms are Kafka's.
 */
import { createHash, createHmac, pbkdf2, timingSafeEqual } from "node:crypto";
import { promisify } from "node:util";

export const SCRAM_MECHANISMS = ["SCRAM-SHA-256", "SCRAM-SHA-512"] as const;
export type ScramMechanism = (typeof SCRAM_MECHANISMS)[number];

/** Kafka's bounds of how often a password is hashed, and what its tools ask for. */
export const SCRAM_ITERATIONS = { min: 4_096, max: 16_384, default: 4_096 } as const;

export interface ScramCredential {
	readonly iterations: number;
	readonly salt: Buffer;
	readonly storedKey: Buffer;
	readonly serverKey: Buffer;
}

/** Node's name of a mechanism's hash. */
export const hashOf = (mechanism: ScramMechanism): "sha256" | "sha512" =>
	mechanism === "SCRAM-SHA-256" ? "sha256" : "sha512";

/** Bytes of the keys. */
export const keyBytesOf = (mechanism: ScramMechanism): number =>
	mechanism === "SCRAM-SHA-256" ? 32 : 64;

export const hmac = (mechanism: ScramMechanism, key: Uint8Array, text: Uint8Array | string) =>
	createHmac(hashOf(mechanism), key).update(text).digest();

const hash = (mechanism: ScramMechanism, bytes: Uint8Array) =>
	createHash(hashOf(mechanism)).update(bytes).digest();

/** The credential of a password that was salted and hashed elsewhere, as Kafka's tools send it. */
export function credentialOf(
	mechanism: ScramMechanism,
	salt: Uint8Array,
	iterations: number,
	saltedPassword: Uint8Array,
): ScramCredential {
	return {
		iterations,
		salt: Buffer.from(salt),
		storedKey: hash(mechanism, hmac(mechanism, saltedPassword, "Client Key")),
		serverKey: hmac(mechanism, saltedPassword, "Server Key"),
	};
}

const derive = promisify(pbkdf2);

/** Salts and hashes a password, on a thread of Node's pool. */
export function saltPassword(
	mechanism: ScramMechanism,
	password: string,
	salt: Uint8Array,
	iterations: number,
): Promise<Buffer> {
	return derive(password, salt, iterations, keyBytesOf(mechanism), hashOf(mechanism));
}

/** Whether a password is that of the credential. Takes as long for any. */
export async function isPasswordOf(
	mechanism: ScramMechanism,
	credential: ScramCredential,
	password: string,
): Promise<boolean> {
	const { salt, iterations, storedKey } = credential;
	const salted = await saltPassword(mechanism, password, salt, iterations);
	const own = credentialOf(mechanism, salt, iterations, salted);
	return timingSafeEqual(own.storedKey, storedKey);
}

/**
 * Whether a client that signs with `proof` knows the password, as SCRAM has it: the proof is the
 * client's key, hidden by a signature that only the stored key's owner can make.
 */
export function isProofOf(
	mechanism: ScramMechanism,
	{ storedKey }: ScramCredential,
	authMessage: string,
	proof: Uint8Array,
): boolean {
	if (proof.length !== keyBytesOf(mechanism)) return false;
	const signature = hmac(mechanism, storedKey, authMessage);
	const clientKey = signature.map((byte, index) => byte ^ (proof[index] as number));
	return timingSafeEqual(hash(mechanism, clientKey), storedKey);
}
