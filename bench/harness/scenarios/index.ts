/** Every scenario, in the order in which they are run and shown. */
import type { Scenario } from "../scenario.ts";
import { ackLatencyScenario } from "./ack-latency.ts";
import { consumeScenario } from "./consume.ts";
import { coreAppendScenario } from "./core-append.ts";
import { connectionsScenario, partitionsScenario } from "./curves.ts";
import { deliveryLatencyScenario } from "./delivery-latency.ts";
import { fanOutScenario } from "./fan-out.ts";
import { hotPartitionsScenario } from "./hot-partitions.ts";
import { kafkaScenario } from "./kafka.ts";
import { loopDelayScenario } from "./loop-delay.ts";
import { memoryOnWsScenario, memoryScenario } from "./memory.ts";
import { maskedProduceScenario, produceScenario } from "./produce.ts";
import { scrapeScenario } from "./scrape.ts";
import { slowPartitionsScenario } from "./slow-partitions.ts";
import { slowReadersScenario } from "./slow-readers.ts";
import { soakScenario } from "./soak.ts";
import { startScenarios } from "./start.ts";

export const SCENARIOS: readonly Scenario[] = [
	coreAppendScenario,
	produceScenario("written", 100),
	produceScenario("written", 1_024),
	maskedProduceScenario(1_024),
	produceScenario("flushed", 100),
	produceScenario("flushed", 1_024),
	consumeScenario("for-await"),
	consumeScenario("batches"),
	fanOutScenario(100),
	kafkaScenario("produce", 100),
	kafkaScenario("produce", 1_024),
	kafkaScenario("consume", 100),
	kafkaScenario("consume", 1_024),
	ackLatencyScenario("written"),
	ackLatencyScenario("flushed"),
	deliveryLatencyScenario,
	loopDelayScenario,
	slowReadersScenario(1_000),
	...[1, 10, 100, 1_000].map(connectionsScenario),
	...[1, 10, 1_000, 10_000].map(partitionsScenario),
	hotPartitionsScenario(1_000),
	...startScenarios,
	...[0, 100, 1_000, 5_000].map(memoryScenario),
	memoryOnWsScenario(5_000),
	slowPartitionsScenario(10_000),
	scrapeScenario(100),
	soakScenario,
];
