/** verify.partition, verify.status */
import { LIMITS } from "../limits.ts";
import type { CallAnswer } from "../protocol/calls.ts";
import { checkPartition } from "../topics/live-topics.ts";
import type { Arguments } from "./arguments.ts";
import type { AnswerMap, Caller } from "./caller.ts";
import { topicOf } from "./offsets.ts";

export async function verifyPartition(caller: Caller, parameters: Arguments): Promise<AnswerMap> {
	const topic = topicOf(caller, parameters);
	const partition = parameters.integer("partition", 0, LIMITS.topicPartitionsMax);
	checkPartition(topic, partition);
	const from = parameters.optionalInteger("from_offset", 0, Number.MAX_SAFE_INTEGER) ?? 0;
	const { storage } = caller.host;
	const step = await storage.verifyStep(topic.current.handle, partition, from);
	return {
		next_offset: step.nextOffset,
		records: step.recordCount,
		bytes: step.bytes,
		findings: [...step.findings],
	} satisfies CallAnswer<"verify.partition">;
}

export function verifyStatus(caller: Caller): AnswerMap {
	const { recoveryReport } = caller.host.storage;
	return {
		clean: recoveryReport.length === 0,
		findings: recoveryReport.map(({ subject, detail }) => ({ subject, detail })),
	};
}
