/**
 * OAUTHBEARER (RFC 7628): a token that says who the client is. As in Kafka a token that is refused
 * is answered with a status in JSON, and the attempt ends with what the client sends to that.
 *
 *     n,a=NAME,^Aauth=Bearer TOKEN^Akey=value^A^A   ->  nothing, or {"status":"invalid_token"}
 *     ^A                                            ->  the end
 */
import { Refusal } from "../refusal.ts";
import type { TokenIdentity, TokenVerifier } from "../tokens.ts";
import type { SaslExchange, SaslMechanism, SaslStep } from "./mechanism.ts";

/** What an exchange needs of tokens. */
export type TokenCheck = Pick<TokenVerifier, "verify">;

const NO_REPLY = new Uint8Array();
const ACKNOWLEDGED = 1;
const INVALID_TOKEN = '{"status":"invalid_token"}';

/** The SASL name that the client wants to act as, and pairs of key and value behind it. */
const MESSAGE =
	// biome-ignore lint/suspicious/noControlCharactersInRegex: RFC 7628 separates by ^A
	/^n,(?:a=((?:[^\0=,\x80-\uffff]|=2C|=3D)+))?,\x01((?:[A-Za-z]+=[^\0\x01]+\x01)*)\x01$/;
const AUTH = /^bearer +([-\w.]+)$/i;

export function oauthbearerMechanism(tokens: TokenCheck): SaslMechanism {
	return { name: "OAUTHBEARER", start: () => new OauthbearerExchange(tokens) };
}

class OauthbearerExchange implements SaslExchange {
	readonly mayGuess = true;
	readonly #tokens: TokenCheck;
	#refusal: Refusal | undefined;

	constructor(tokens: TokenCheck) {
		this.#tokens = tokens;
	}

	async step(bytes: Uint8Array): Promise<SaslStep> {
		if (this.#refusal !== undefined && bytes.length === 1 && bytes[0] === ACKNOWLEDGED) {
			throw this.#refusal;
		}
		const { acting, token } = parseMessage(Buffer.from(bytes).toString("utf8"));
		let identity: TokenIdentity;
		try {
			identity = await this.#tokens.verify(token);
		} catch (error) {
			if (!(error instanceof Refusal)) throw error;
			const told = { kafkaText: INVALID_TOKEN };
			this.#refusal = new Refusal(error.reason, "the token was refused", told);
			return { reply: Buffer.from(INVALID_TOKEN), identity: null, refusal: this.#refusal };
		}
		const name = identity.principal.slice("User:".length);
		if (acting !== "" && acting !== name) throw actsForOther(acting, name);
		return { reply: NO_REPLY, identity };
	}
}

function actsForOther(acting: string, name: string): Refusal {
	const differs = `(${acting}) that is different from the token's principal name (${name})`;
	const kafkaText = `Authentication failed: Client requested an authorization id ${differs}`;
	return new Refusal("identity", "nobody may act for somebody else", { kafkaText });
}

function parseMessage(message: string): { acting: string; token: string } {
	const [, acting = "", pairs = ""] = MESSAGE.exec(message) ?? [];
	const auth = pairs.split("\x01").filter((pair) => pair.startsWith("auth="));
	const token = AUTH.exec(auth[0]?.slice("auth=".length) ?? "")?.[1];
	if (token === undefined || auth.length > 1) throw new Refusal("malformed", "there is no token");
	return { acting: acting.replaceAll("=2C", ",").replaceAll("=3D", "="), token };
}
