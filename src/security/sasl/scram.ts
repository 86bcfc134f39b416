/**
 * SCRAM-SHA-256 and -512 (RFC 5802, RFC 7677): client and broker each prove that they know the
 * password, which itself is not sent. As in Kafka names and passwords are not normalised
 * (SASLprep), and there is no channel binding.
 *
 *     n,,n=NAME,r=NONCE             ->  r=NONCE+OURS,s=SALT,i=ITERATIONS
 *     c=biws,r=NONCE+OURS,p=PROOF   ->  v=SIGNATURE
 */
import { randomBytes } from "node:crypto";

import { LIMITS } from "../../limits.ts";
import { userPrincipal } from "../principal.ts";
import { Refusal } from "../refusal.ts";
import { hmac, isProofOf, type ScramMechanism } from "../scram-credential.ts";
import type { Challenge, Users } from "../users.ts";
import { OTHER_USER, type SaslExchange, type SaslMechanism, type SaslStep } from "./mechanism.ts";

const NONCE_BYTES = 24;
/** A first message, which is kept until the last one comes: a user's name, escaped, and a nonce. */
const FIRST_CHARACTERS_MAX = 8 * LIMITS.userNameBytesMax;
/** Header of the channel binding, name, nonce; extensions behind them are passed over. */
const CLIENT_FIRST = /^([ny],(?:a=([^,]*))?,)(n=([^,]+),r=([\x21-\x2b\x2d-\x7e]+)(?:,.*)?)$/s;
const CLIENT_FINAL =
	/^(c=([A-Za-z0-9+/=]+),r=([\x21-\x2b\x2d-\x7e]+)(?:,.*)?),p=([A-Za-z0-9+/=]+)$/s;

export function scramMechanism(mechanism: ScramMechanism, users: Users): SaslMechanism {
	return { name: mechanism, start: () => new ScramExchange(mechanism, users) };
}

/** What the first round leaves for the second. */
interface Started {
	readonly name: string;
	readonly clientNonce: string;
	/** The client's and ours behind it. */
	readonly nonce: string;
	/** `n,,` or the like, which the client repeats. */
	readonly header: string;
	/** Both first messages, which proof and signature cover. */
	readonly messages: string;
	readonly challenge: Challenge;
}

class ScramExchange implements SaslExchange {
	readonly #mechanism: ScramMechanism;
	readonly #users: Users;
	#started: Started | undefined;

	constructor(mechanism: ScramMechanism, users: Users) {
		this.#mechanism = mechanism;
		this.#users = users;
	}

	/** The first message shows only a name. */
	get mayGuess(): boolean {
		return this.#started !== undefined;
	}

	step(bytes: Uint8Array): SaslStep {
		const message = Buffer.from(bytes).toString("utf8");
		return this.#started === undefined ? this.#first(message) : this.#last(message, this.#started);
	}

	#first(message: string): SaslStep {
		const isShort = message.length <= FIRST_CHARACTERS_MAX;
		const match = isShort ? CLIENT_FIRST.exec(message) : null;
		if (match === null) throw new Refusal("malformed", "no first message of SCRAM");
		const [, header = "", acting = "", bare = "", sentName = "", clientNonce = ""] = match;
		const name = sentName.replaceAll("=2C", ",").replaceAll("=3D", "=");
		if (acting !== "" && acting !== sentName) {
			const told = { kafkaText: OTHER_USER };
			throw new Refusal("identity", "nobody may act for somebody else", told);
		}
		const challenge = this.#users.challenge(name, this.#mechanism);
		const { salt, iterations } = challenge.credential;
		const nonce = clientNonce + randomBytes(NONCE_BYTES).toString("base64url");
		const reply = `r=${nonce},s=${salt.toString("base64")},i=${iterations}`;
		this.#started = { name, clientNonce, nonce, header, messages: `${bare},${reply}`, challenge };
		return { reply: Buffer.from(reply), identity: null };
	}

	#last(message: string, started: Started): SaslStep {
		const { name, clientNonce, nonce, header, messages, challenge } = started;
		const match = CLIENT_FINAL.exec(message);
		if (match === null) throw new Refusal("malformed", "no last message of SCRAM");
		const [, withoutProof = "", binding = "", repeatedNonce, proof = ""] = match;
		const { credential, isDecoy } = challenge;
		const authMessage = `${messages},${withoutProof}`;
		const proofBytes = Buffer.from(proof, "base64");
		const isRight = isProofOf(this.#mechanism, credential, authMessage, proofBytes);
		// librdkafka before 2.6.1 puts its own nonce in front once more, as Kafka 3.8.1 to 3.9 took it:
		// ours, which keeps anybody from sending an old message again, is there all the same.
		const isRepeated = repeatedNonce === nonce || repeatedNonce === clientNonce + nonce;
		const isOurs = isRepeated && Buffer.from(binding, "base64").equals(Buffer.from(header));
		if (!isRight || isDecoy || !isOurs) {
			throw new Refusal("credentials", "name or password");
		}
		const signature = hmac(this.#mechanism, credential.serverKey, authMessage);
		const reply = Buffer.from(`v=${signature.toString("base64")}`);
		return { reply, identity: { principal: userPrincipal(name) } };
	}
}
