/** What a broker takes that nobody uses, alone and with connections that do nothing. */
import { Payload } from "../payload.ts";
import {
	NOTHING_ELSE,
	type Scenario,
	type ScenarioContext,
	timed,
	verifyTopic,
	withTestBed,
} from "../scenario.ts";
import { settledBytes } from "../server-process.ts";
import { connectMany } from "./curves.ts";

const RECORD_BYTES = 100;

/** With fewer of them, what V8 takes for any number hides what one takes. */
const MANY = 5_000;

/** `wanted`: how many idle connections there are. */
export function memoryScenario(wanted: number): Scenario {
	return {
		name: `memory-connections-${wanted}`,
		about: `anonymous memory of an idle broker, with idle WebSocket connections (${wanted})`,
		tier: wanted === 0 ? "ci" : wanted >= MANY ? "full" : "standard",
		run: (context) => measure(context, wanted),
	};
}

/** The same over the transport that a broker falls back to. */
export function memoryOnWsScenario(wanted: number): Scenario {
	return {
		name: `memory-connections-ws-${wanted}`,
		about: `the same over ws, which a broker has where there is no uWebSockets.js (${wanted})`,
		tier: "full",
		run: (context) => measure(context, wanted, ["--websocket-transport=ws"]),
	};
}

function measure(context: ScenarioContext, wanted: number, brokerOptions: readonly string[] = []) {
	const count = Math.min(wanted, context.profile.countMax);
	return withTestBed(context, { durability: "written", brokerOptions }, async (bed) => {
		const alone = await settledBytes(bed.broker, context.profile.seconds);
		const clients = await connectMany(bed.broker.url, count);
		const bytes = count === 0 ? alone : await settledBytes(bed.broker, context.profile.seconds);
		try {
			// That they were all there is shown by a record of each; its cost is not what is reported.
			const payload = new Payload(RECORD_BYTES);
			const all = [bed.client, ...clients];
			const figures = await timed(bed.broker, RECORD_BYTES, async () => {
				for (const [number, client] of all.entries()) {
					const value = payload.value(number);
					await client.producer<Uint8Array>({ codec: "bytes" }).send({ topic: bed.topic, value });
				}
				return all.length;
			});
			return {
				...NOTHING_ELSE,
				...figures,
				durability: "written" as const,
				figure: { name: "memory", unit: "bytes", value: bytes, better: "less" } as const,
				curve: { of: "idle connections", count },
				extras:
					count === 0
						? []
						: [
								{
									name: "memory an idle connection",
									unit: "bytes" as const,
									value: Math.max(0, bytes - alone) / count,
								},
							],
				verified: await verifyTopic(bed, payload, all.length),
			};
		} finally {
			await Promise.all(clients.map((client) => client.close()));
		}
	});
}
