/** cluster.describe, verify.status */
import type { AnswerMap } from "../outgoing.ts";
import type { Session } from "../session.ts";

export function describeCluster(session: Session): AnswerMap {
	const { brokers, ...cluster } = session.host.describeCluster();
	return { ...cluster, brokers: brokers.map((broker) => ({ ...broker })) };
}

export function verifyStatus(session: Session): AnswerMap {
	const { recoveryReport } = session.host.storage;
	return {
		clean: recoveryReport.length === 0,
		findings: recoveryReport.map(({ subject, detail }) => ({ subject, detail })),
	};
}
