/** Brokers that are killed again and again while others work with them. */
import { randomInt } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { test } from "vitest";

import { BrokerProcess } from "../../broker-process.ts";
import { RUNS_LONG_TESTS, TOO_LONG } from "../../optional-parts.ts";
import type { History } from "./history.ts";

/**
 * One test a broker, which is told how often to kill it; the first is for every run, the others are
 * for the long one.
 */
export function testBrokers(kills: readonly number[], run: (kills: number) => Promise<void>): void {
	test.for(kills.map((count, index) => ({ kills: count, number: index + 1 })))(
		"broker $number, $kills kills",
		async ({ kills, number }, context) => {
			if (number > 1 && !RUNS_LONG_TESTS) context.skip(TOO_LONG);
			await run(kills);
		},
	);
}

export interface Killing {
	readonly kills: number;
	readonly dataDir: string;
	readonly flags: readonly string[];
	/** Resolves when enough has happened since the last kill. */
	enough(): Promise<unknown>;
	/** Time from then to the kill at most, in milliseconds. */
	readonly laterMsMax: number;
}

/**
 * Kills a broker and starts it again at the same addresses, as often as it is to be; resolves to
 * the last one.
 */
export async function killAgainAndAgain(
	broker: BrokerProcess,
	{ kills, dataDir, flags, enough, laterMsMax }: Killing,
): Promise<BrokerProcess> {
	const { port, kafka } = broker;
	let present = broker;
	for (let kill = 0; kill < kills; kill++) {
		await enough();
		await sleep(randomInt(laterMsMax));
		await present.kill();
		const again = [...flags, "--kafka", kafka as string];
		present = await BrokerProcess.start({ dataDir, port, flags: again });
	}
	return present;
}

/** Resolves when so many more records are acknowledged, or rejects as `running` does. */
export async function moreAcks(
	{ acks }: History,
	count: number,
	running: Promise<unknown>,
): Promise<void> {
	const enough = acks.length + count;
	while (acks.length < enough) await Promise.race([sleep(20), running]);
}
