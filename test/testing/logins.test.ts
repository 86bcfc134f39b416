/** Refused logins of a broker in memory wait by its clock. */
import { expect, onTestFinished, test } from "vitest";

import { startBroker } from "../../src/index.ts";
import { LIMITS } from "../../src/limits.ts";

/** One behind the other they would wait for longer than a test may take. */
const LOGINS = 40;

test("who has forgotten a password waits for no longer than the clock is advanced", async () => {
	const broker = await startBroker({
		memory: true,
		options: { "websocket.security.protocol": "SASL_PLAINTEXT" },
	});
	onTestFinished(() => broker.close());
	const authorization = `Basic ${Buffer.from("alice:forgotten").toString("base64")}`;
	for (let login = 0; login < LOGINS; login++) {
		let status = 0;
		const answered = fetch(`${broker.addresses.http}/v1/topics`, { headers: { authorization } });
		const told = answered.then((answer) => {
			status = answer.status;
		});
		// The request has yet to come.
		while (status === 0) await broker.clock.advance(LIMITS.failedDelayMsMax);
		await told;
		expect(status).toBe(401);
	}
});
