/** verify.partition, verify.status */
import { LIMITS } from "../../limits.ts";
import type { CallAnswer } from "../../protocol/calls.ts";
import type { Arguments } from "../arguments.ts";
import type { AnswerMap } from "../outgoing.ts";
import type { Session } from "../session.ts";
import { checkPartition } from "../topic-aliases.ts";
import { topicOf } from "./offsets.ts";

export async function verifyPartition(session: Session, parameters: Arguments): Promise<AnswerMap> {
	const topic = topicOf(session, parameters);
	const partition = parameters.integer("partition", 0, LIMITS.topicPartitionsMax);
	checkPartition(topic, partition);
	const from = parameters.optionalInteger("from_offset", 0, Number.MAX_SAFE_INTEGER) ?? 0;
	const { storage } = session.host;
	const step = await storage.verifyStep(topic.current.handle, partition, from);
	return {
		next_offset: step.nextOffset,
		records: step.recordCount,
		bytes: step.bytes,
		findings: [...step.findings],
	} satisfies CallAnswer<"verify.partition">;
}

export function verifyStatus(session: Session): AnswerMap {
	const { recoveryReport } = session.host.storage;
	return {
		clean: recoveryReport.length === 0,
		findings: recoveryReport.map(({ subject, detail }) => ({ subject, detail })),
	};
}
