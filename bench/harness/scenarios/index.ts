/** Every scenario, in the order in which they are run and shown. */
import type { Scenario } from "../scenario.ts";
import { ackLatencyScenario } from "./ack-latency.ts";
import { consumeScenario } from "./consume.ts";
import { coreAppendScenario } from "./core-append.ts";
import { produceScenario } from "./produce.ts";

export const SCENARIOS: readonly Scenario[] = [
	coreAppendScenario,
	produceScenario("written", 100),
	produceScenario("written", 1_024),
	produceScenario("flushed", 100),
	produceScenario("flushed", 1_024),
	consumeScenario("for-await"),
	consumeScenario("batches"),
	ackLatencyScenario("written"),
	ackLatencyScenario("flushed"),
];
