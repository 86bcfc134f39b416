/**
 * PLAIN (RFC 4616): name and password in one message. The password is checked against the SCRAM
 * credentials that there are, so it is kept nowhere.
 */
import type { Principal } from "../principal.ts";
import { Refusal, type RefusalReason } from "../refusal.ts";
import type { Wait } from "../turns.ts";
import type { Users } from "../users.ts";
import { OTHER_USER, type SaslMechanism } from "./mechanism.ts";

const NO_REPLY = new Uint8Array();

export function plainMechanism(users: Users): SaslMechanism {
	return {
		name: "PLAIN",
		start: () => ({
			mayGuess: true,
			async step(bytes, wait) {
				const parts = Buffer.from(bytes).toString("utf8").split("\0");
				const [acting = "", name = "", password = ""] = parts;
				if (parts.length !== 3) {
					const expected = `Invalid SASL/PLAIN response: expected 3 tokens, got ${parts.length}`;
					throw refused("malformed", expected);
				}
				if (name === "")
					throw refused("malformed", "Authentication failed: username not specified");
				if (password === "") {
					throw refused("malformed", "Authentication failed: password not specified");
				}
				const principal = await checkPassword(users, name, password, wait);
				// Told only to who knows the password, as in Kafka.
				if (acting !== "" && acting !== name) throw refused("identity", OTHER_USER);
				return { reply: NO_REPLY, identity: { principal } };
			},
		}),
	};
}

async function checkPassword(
	users: Users,
	name: string,
	password: string,
	wait: Wait,
): Promise<Principal> {
	try {
		return await users.checkPassword(name, password, wait);
	} catch (error) {
		if (!(error instanceof Refusal)) throw error;
		throw refused(error.reason, "Authentication failed: Invalid username or password");
	}
}

/** In Kafka's words. */
function refused(reason: RefusalReason, kafkaText: string): Refusal {
	return new Refusal(reason, "name or password", { kafkaText });
}
