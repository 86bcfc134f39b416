/** How long acks that wait for the disk take while each of many partitions is written to. */
import { type Scenario, withTestBed } from "../scenario.ts";
import { measurePaced, type PacedLoad } from "./curves.ts";

/** What two processors still hold: at twice the pace they have nothing left. */
const LOAD = {
	durability: "flushed",
	recordBytes: 1_024,
	perSecond: 20_000,
	percentile: "p99",
} as const satisfies PacedLoad;

/** Twelve seconds of the load: a stall is to be told as a latency, not to end the run. */
const BUFFER_BYTES_MAX = 268_435_456;

export function hotPartitionsScenario(wanted: number): Scenario {
	return {
		name: `websocket-produce-flushed-partitions-${wanted}`,
		about:
			`paced produce in turns to partitions (${wanted}), acked ${LOAD.durability}, ` +
			`${LOAD.perSecond} records of ${LOAD.recordBytes} bytes a second`,
		tier: "full",
		run(context) {
			const { durability } = LOAD;
			const partitions = Math.min(wanted, context.profile.countMax);
			return withTestBed(context, { durability, partitions }, async (bed) => {
				const producer = bed.client.producer<Uint8Array>({
					codec: "bytes",
					durability,
					bufferBytesMax: BUFFER_BYTES_MAX,
				});
				return measurePaced(bed, context, LOAD, {
					curve: { of: "hot partitions", count: partitions },
					producerOf: () => producer,
					partitions,
					extras: [],
				});
			});
		},
	};
}
