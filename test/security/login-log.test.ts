import { expect, test } from "vitest";

import { LoginLog } from "../../src/security/login-log.ts";
import { FakeClock } from "../groups/fake-clock.ts";

const GUESS = { host: "192.0.2.1", mechanism: "PLAIN", reason: "credentials" } as const;
const BUSY = { host: "192.0.2.1", mechanism: "PLAIN", reason: "busy" } as const;
const OTHER = { host: "192.0.2.2", mechanism: "other", reason: "mechanism" } as const;

function logged() {
	const clock = new FakeClock();
	const lines: object[] = [];
	return { clock, lines, log: new LoginLog({ info: (line) => void lines.push(line) }, clock) };
}

test("a login that was looked at and refused is a line of its own", () => {
	const { lines, log } = logged();
	for (let count = 0; count < 3; count++) log.refused(GUESS);
	expect(lines).toEqual([GUESS, GUESS, GUESS]);
});

test("what costs nothing is told once in ten seconds, with how many there were", () => {
	const { clock, lines, log } = logged();
	for (let count = 0; count < 1_000; count++) log.refused(BUSY);
	log.refused(OTHER);
	expect(lines).toEqual([
		{ ...BUSY, refused: 1 },
		{ ...OTHER, refused: 1 },
	]);
	clock.advance(9_999);
	log.refused(BUSY);
	expect(lines).toHaveLength(2);
	clock.advance(1);
	log.refused({ ...BUSY, host: "192.0.2.3" });
	expect(lines.slice(2)).toEqual([{ ...BUSY, host: "192.0.2.3", refused: 1_001 }]);
});
