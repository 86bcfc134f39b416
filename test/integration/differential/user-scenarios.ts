/** Who clients say that they are, and the users whom brokers know. */
import { pbkdf2Sync } from "node:crypto";

import { untilShown } from "./quota-scenarios.ts";
import { type Scenario, scenario } from "./scenario.ts";

const SHA_256 = 1;
const SHA_512 = 2;
const ITERATIONS_MIN = 4_096;

function upsertion(name: string, mechanism: number, iterations = ITERATIONS_MIN) {
	const [digest, bytes] = mechanism === SHA_512 ? ["sha512", 64] : ["sha256", 32];
	const salt = Buffer.from("salt of the test");
	const saltedPassword = pbkdf2Sync("secret", salt, iterations, bytes as number, digest as string);
	return { name, mechanism, iterations, salt, saltedPassword };
}

export const userScenarios: readonly Scenario[] = [
	scenario({
		api: "SaslHandshake",
		name: "where nobody is asked",
		from: 1,
		async run(session, version) {
			for (const mechanism of ["PLAIN", "SCRAM-SHA-256", "NONE"]) {
				await session.ask("SaslHandshake", version, { mechanism }, mechanism);
			}
		},
	}),
	scenario({
		api: "SaslAuthenticate",
		name: "where nobody is asked",
		async run(session, version) {
			const authBytes = Buffer.from("\0user\0password");
			await session.ask("SaslAuthenticate", version, { authBytes }, "a password");
		},
	}),
	scenario({
		api: "DescribeUserScramCredentials",
		name: "users who are there and who are not",
		needs: ["AlterUserScramCredentials", "AlterClientQuotas", "DescribeClientQuotas"],
		async run(session, version, id) {
			const ask = (names: string[], label: string) => {
				const users = names.map((name) => ({ name }));
				return session.ask("DescribeUserScramCredentials", version, { users }, label);
			};
			const alter = async (label: string, upsertions: object[], deletions: object[] = []) => {
				const asked = { deletions, upsertions } as never;
				await session.ask("AlterUserScramCredentials", 0, asked, label);
				await untilShown(session);
			};
			// Kafka takes no two of one user in one request.
			await alter("make", [upsertion(id, SHA_256)]);
			await alter("make another", [upsertion(id, SHA_512, 8_192)]);
			await ask([id], "one");
			await ask([id, `${id}-missing`], "one who is missing");
			await ask([id, id], "one twice");
			await ask([""], "no name");
			await alter("remove", [], [{ name: id, mechanism: SHA_256 }]);
			await ask([id], "one with the other");
			await alter("remove the other", [], [{ name: id, mechanism: SHA_512 }]);
			await ask([id], "one who is gone");
		},
	}),
	scenario({
		api: "AlterUserScramCredentials",
		name: "what is refused",
		async run(session, version, id) {
			const alter = (label: string, upsertions: object[], deletions: object[] = []) =>
				session.ask(
					"AlterUserScramCredentials",
					version,
					{ deletions, upsertions } as never,
					label,
				);
			await alter("too few iterations", [upsertion(id, SHA_256, ITERATIONS_MIN - 1)]);
			await alter("too many iterations", [{ ...upsertion(id, SHA_256), iterations: 16_385 }]);
			await alter("a mechanism that nobody knows", [{ ...upsertion(id, SHA_256), mechanism: 9 }]);
			await alter("no name", [upsertion("", SHA_256)]);
			await alter("the same twice", [upsertion(id, SHA_256), upsertion(id, SHA_256)]);
			await alter("to remove what is not there", [], [{ name: id, mechanism: SHA_256 }]);
		},
	}),
];
