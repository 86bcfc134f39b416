/** Scenarios whose load is one Node process with a contender's own client (load/main.ts). */
import { fileURLToPath } from "node:url";

import { Payload } from "../harness/payload.ts";
import type { Durability } from "../harness/scenario.ts";
import { logRecords, type PeerScenario, sizeName } from "./contender.ts";
import type { LoadOrder, PublishStyle, ReadStyle } from "./load/order.ts";
import { roundOf, runLoad } from "./load-process.ts";
import type { PeerName } from "./results.ts";

/** What the scenarios beside one peer have in common. */
export interface NodeLoad {
	readonly peer: PeerName;
	/** The peer's client and its version. */
	readonly client: () => string;
	/** `flush.ms` of Millrace's topics where acks are `written`: when the peer flushes, too. */
	readonly flushMs: number;
}

const PROGRAM = fileURLToPath(import.meta.resolve("#dist/bench/peers/load/main.js"));

const READ_STYLES = { each: "one record after the other", batches: "as many as come at once" };

export function nodeProduceScenario(
	load: NodeLoad,
	durability: Durability,
	recordBytes: number,
	publish: PublishStyle = "acks",
): PeerScenario {
	const style = publish === "acks" ? "" : `-${publish}`;
	return {
		name: `${load.peer}-produce${style}-${durability}-${sizeName(recordBytes)}`,
		about: `one producer, records of ${recordBytes} bytes, acked ${durability}`,
		...nodeScenario(load, { durability, recordBytes, publish, read: null }),
	};
}

export function nodeConsumeScenario(
	load: NodeLoad,
	style: ReadStyle,
	recordBytes: number,
): PeerScenario {
	return {
		name: `${load.peer}-consume-${style}-${sizeName(recordBytes)}`,
		about: `one consumer, records of ${recordBytes} bytes, ${READ_STYLES[style]}`,
		// How the log came to be is not timed: the fastest way it is.
		...nodeScenario(load, { durability: null, recordBytes, publish: "fast-ingest", read: style }),
	};
}

interface NodeLoadStyle extends Pick<LoadOrder, "recordBytes" | "publish" | "read"> {
	readonly durability: Durability | null;
}

function nodeScenario(
	{ client, flushMs }: NodeLoad,
	{ durability, recordBytes, publish, read }: NodeLoadStyle,
): Omit<PeerScenario, "name" | "about"> {
	return {
		durability,
		recordBytes,
		load: () => `Node ${process.version}: Millrace's own client; ${client()}`,
		async run({ contender, endpoint }, extent) {
			if (contender === "kafka") throw new RangeError("Kafka has loads of its own");
			const payload = new Payload(recordBytes);
			const { address, measure } = endpoint(durability ?? "written");
			const recordsMax = Math.floor(extent.storedBytesMax / recordBytes);
			const order: LoadOrder = {
				contender,
				address,
				topic: `bench-${Date.now()}`,
				durability: durability ?? "written",
				flushMs: durability === "flushed" ? null : flushMs,
				recordBytes,
				publish,
				read,
				warmUpSeconds: extent.warmUpSeconds,
				seconds: extent.seconds,
				records: read === null ? recordsMax : logRecords(extent, payload),
			};
			const command = [process.execPath, ...process.execArgv, PROGRAM, JSON.stringify(order)];
			return roundOf(await runLoad(command, { address, measure }), payload);
		},
	};
}
